#!/usr/bin/env bash
# Restores the table of a stack, as it was at a time, into a new table beside it. Nothing that runs is changed: the last lines say how
# the stack is moved to the new table, and how its figures are verified.
#
#   infra/restore.sh STACK 2026-11-20T12:00:00Z NEW-TABLE
set -euo pipefail
if [ $# != 3 ]; then
  sed -n '2,5s/^# \{0,1\}//p' "$0" >&2
  exit 2
fi
stack=$1 at=$2 new=$3
dynamodb() { aws dynamodb "$@" --output text >/dev/null; }

old=$(aws cloudformation describe-stacks --stack-name "$stack" --output text \
  --query "Stacks[0].Outputs[?OutputKey=='TableName'].OutputValue")
echo "$old, as it was at $at, is restored into $new; this takes from minutes to hours"
dynamodb restore-table-to-point-in-time --source-table-name "$old" --target-table-name "$new" \
  --restore-date-time "$at" --billing-mode-override PAY_PER_REQUEST \
  --sse-specification-override Enabled=true,SSEType=KMS
until aws dynamodb wait table-exists --table-name "$new"; do :; done

# A restored table has none of these.
dynamodb update-time-to-live --table-name "$new" --time-to-live-specification Enabled=true,AttributeName=expires_at
dynamodb update-continuous-backups --table-name "$new" \
  --point-in-time-recovery-specification PointInTimeRecoveryEnabled=true
dynamodb update-table --table-name "$new" --deletion-protection-enabled

cat <<TEXT
$new is ready. Now
  1. stop what comes in, or expect what came after $at to be missing: senders repeat what they had no answer to, and exports have the rest;
  2. sam deploy --parameter-overrides ExistingTable=$new   ($old stays as it is)
  3. for each marketplace: POST /v1/marketplaces/M/runs {"verify": "all", "repair": true}, and look at its differences.
TEXT
