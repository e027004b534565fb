#!/bin/sh
# Builds the six functions as they are deployed, one zip each, with their checksums. `sam build` does not need it: it is for whoever
# deploys by other tools, and for releases. The same sources give the same zips.
#
#   infra/build.sh              for x86-64, into target/functions/x86_64
#   infra/build.sh arm64        for arm64, into target/functions/arm64
#
# Needs cargo-lambda and zig (pip install cargo-lambda ziglang), make, objdump (Debian: binutils) and python3. It fails where a function
# asks for a newer glibc than Amazon Linux 2023 has. Exit codes: 0 built, 1 not, 2 usage.
set -eu
architecture=${1:-x86_64}
case $#$architecture in [01]x86_64 | 1arm64) ;; *) echo "usage: $0 [x86_64|arm64]" >&2; exit 2 ;; esac
glibc_max=2.34
cd "$(dirname "$0")/.."
out=$PWD/target/functions/$architecture
mkdir -p "$out"
printf '%-20s %9s %9s %7s\n' function binary zip glibc
for id in IngestEvent IngestOrder Manage ReportQuery HourlyAttributor RedemptionBatch; do
  name=$(printf '%s' "$id" | sed 's/\(.\)\([A-Z]\)/\1-\2/' | tr '[:upper:]' '[:lower:]')
  mkdir -p "$out/$name"
  ARCHITECTURE=$architecture make --silent --file infra/Makefile "build-$id" ARTIFACTS_DIR="$out/$name"
  glibc=$(objdump -T "$out/$name/bootstrap" | grep -o 'GLIBC_[0-9.]*' | sed 's/GLIBC_//' | sort -V | tail -n 1)
  if [ "$(printf '%s\n%s\n' "$glibc" "$glibc_max" | sort -V | tail -n 1)" != "$glibc_max" ]; then
    echo "$name asks for glibc $glibc, and Amazon Linux 2023 has $glibc_max" >&2
    exit 1
  fi
  # Every zip has the same time in it, so that the same program gives the same zip.
  python3 - "$out/$name/bootstrap" "$out/$name.zip" <<'PYTHON'
import sys, zipfile
source, target = sys.argv[1:]
entry = zipfile.ZipInfo("bootstrap", (1980, 1, 1, 0, 0, 0))
entry.external_attr, entry.compress_type = 0o755 << 16, zipfile.ZIP_DEFLATED
with zipfile.ZipFile(target, "w", compresslevel=9) as file:
    file.writestr(entry, open(source, "rb").read(), compresslevel=9)
PYTHON
  binary=$(wc -c < "$out/$name/bootstrap")
  zip=$(wc -c < "$out/$name.zip")
  printf '%-20s %6d KB %6d KB %7s\n' "$name" $((binary / 1000)) $((zip / 1000)) "$glibc"
done
cd "$out"
sha256sum ./*.zip > SHA256SUMS
echo "the zips and SHA256SUMS are in target/functions/$architecture"
