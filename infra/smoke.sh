#!/bin/sh
# Tells whether a revtrail that was just deployed works, from the first event to the last figure. It makes a marketplace of its own,
# sends facts whose answers are known to the cent, and compares. Nothing else is touched; the marketplace stays, a few KB.
#
#   infra/smoke.sh https://abc123.execute-api.us-east-1.amazonaws.com "$ADMIN_KEY"
#   infra/smoke.sh http://127.0.0.1:8080 demo
#
# Needs sh, curl and date. Exit codes: 0 all is right, 1 something is not (it says what), 2 usage.
set -u
[ $# = 2 ] || { echo "usage: $0 BASE_URL ADMIN_KEY" >&2; exit 2; }
base=${1%/} key=$2 market=smoke-$(date -u +%Y%m%d%H%M%S)-$$
at=$base/v1/marketplaces/$market
now=$(date -u +%Y-%m-%dT%H:%M:%SZ)
seconds=$(date -u +%s)
folder=$(mktemp -d) || exit 1
trap 'rm -rf "$folder"' EXIT
# The key goes to curl by a file: on the command line every user of the machine could read it.
printf 'header = "Authorization: Bearer %s"\n' "$key" > "$folder/key"
chmod 600 "$folder/key"

# call METHOD PATH [BODY]: the answer is in $answer, its status in $status.
call() {
  url=$2
  case $url in /*) url=$base$url ;; esac
  if [ $# -gt 2 ]; then set -- "$1" "$url" --header 'Content-Type: application/json' --data-binary "$3"; else set -- "$1" "$url"; fi
  method=$1
  shift
  answer=$(curl --silent --show-error --max-time 60 --config "$folder/key" --request "$method" --write-out '\n%{http_code}' "$@" 2>&1)
  status=$(printf '%s' "$answer" | tail -n 1)
  answer=$(printf '%s' "$answer" | sed '$d')
}

wrong() {
  printf 'WRONG  %s\n       %s %s\n' "$1" "$status" "$(printf '%s' "$answer" | cut -c 1-600)" >&2
  exit 1
}

# expect WHAT STATUS [TEXT]...: the status is this one, and the answer holds every text.
expect() {
  what=$1
  [ "$status" = "$2" ] || wrong "$what: expected the status $2"
  shift 2
  for text in "$@"; do
    case $answer in *"$text"*) ;; *) wrong "$what: expected $text" ;; esac
  done
  printf 'ok     %s\n' "$what"
}

# ended PATH SECONDS WHAT: asks until it is told of something that is done or failed, or so many seconds after the start are over.
ended() {
  while :; do
    call GET "$1"
    case $answer in *'"state":"done"'* | *'"state":"failed"'*) return ;; esac
    [ $(($(date -u +%s) - seconds)) -lt "$2" ] || wrong "$3"
    sleep 1
  done
}

call GET /healthz
expect 'it answers' 200
call PUT "$at" '{"name":"Smoke test","settings":{"preset":"yespo_v1","currency":"USD"}}'
expect 'a marketplace is made' 201 '"settings_version":1'
call POST "$at/events" '[
  {"event_id":"e-1","kind":"delivered","channel":"push","campaign_id":"tuesday","customer_id":"ann","occurred_at":"'"$now"'"},
  {"event_id":"e-2","kind":"sent","channel":"email","campaign_id":"monday","customer_id":"bob","occurred_at":"'"$now"'"}]'
expect 'two events are taken' 202 '"accepted":2' '"rejected":[]'
call POST "$at/events" '{"event_id":"e-1","kind":"delivered","channel":"push","campaign_id":"tuesday","customer_id":"ann","occurred_at":"'"$now"'"}'
expect 'the same event again is a duplicate' 202 '"duplicates":1'
call POST "$at/orders" '[
  {"order_id":"o-1","customer_id":"ann","status":"DELIVERED","total":"100.10","currency":"USD","placed_at":"'"$now"'"},
  {"order_id":"o-2","customer_id":"bob","status":"DELIVERED","total":"20.20","currency":"USD","placed_at":"'"$now"'"},
  {"order_id":"o-3","customer_id":"bob","status":"PENDING","total":"7.00","currency":"USD","placed_at":"'"$now"'"}]'
expect 'three orders are taken' 202 '"accepted":3' '"rejected":[]'
call GET "$at/orders/o-1/attribution"
expect 'an order says at once who earned it' 200 '"campaign_id":"tuesday"' '"outcome":"credited"'
call GET "$at/orders/o-2/attribution"
expect 'another says why nobody did' 200 '"credited_to":null' '"reason":"no_candidate"'

call POST "$at/runs" '{"verify":"all"}'
expect 'a run is asked for' 202 '"run_id":'
run=$(printf '%s' "$answer" | sed 's/.*"run_id":"\([^"]*\)".*/\1/')
ended "$at/runs/$run" 300 'the run did not end within five minutes'
expect 'the run ended, and everything stored agrees with the facts' 200 '"state":"done"' '"differences":0'
call GET "$at/reports/campaigns"
expect 'the report is right to the cent' 200 \
  '"counted":{"purchases":2,"revenue":{"USD":"120.30"}}' '"credited":{"purchases":1,"revenue":{"USD":"100.10"}}' \
  '"uncredited":{"purchases":1,"revenue":{"USD":"20.20"}}'

call PUT "$at/promotions/five" '{"name":"Five off","kind":"global","type":"amount","value":"5.00","currency":"USD"}'
expect 'a promotion is made' 201
call POST "$at/promotions/five/vouchers" '{"codes":["FIVE"],"limit":1}'
expect 'a voucher is made' 201 '"created":1'
call POST "$at/vouchers/FIVE/redeem" '{"redemption_id":"r-1","customer_id":"ann","reward_amount":"5.00","currency":"USD"}'
expect 'it is redeemed' 200 '"result":"success"'
call POST "$at/vouchers/FIVE/redeem" '{"redemption_id":"r-2","customer_id":"bob","reward_amount":"5.00","currency":"USD"}'
expect 'and only once' 200 '"result":"failure"' '"reason":"limit_reached"'
call GET "$at/reports/promotions"
expect 'the report of promotions has it' 200 '"redemptions":1'

call POST "$at/uploads" '{"name":"smoke.csv"}'
case $status in
201)
  url=$(printf '%s' "$answer" | sed 's/.*"url":"\([^"]*\)".*/\1/')
  printf 'redemption_id,promotion_id,customer_id\nr-3,five,ann\nr-4,five,\n' > "$folder/smoke.csv"
  answer=$(curl --silent --show-error --max-time 60 --write-out '%{http_code}' --upload-file "$folder/smoke.csv" "$url" 2>&1)
  case $answer in *20[0-9]) ;; *) wrong 'a file of redemptions is not taken' ;; esac
  ended "$at/batches" 600 'the file was not worked off within minutes'
  expect 'a file of redemptions is taken, row by row' 200 '"state":"done"' '"rows":2' '"accepted":1' '"rejected":1'
  ;;
404 | 409) printf 'none   %s\n' 'this service takes no files' ;;
*) wrong 'an upload is not begun' ;;
esac

call GET "/app/$market"
case $status in 200 | 303) expect 'the pages answer' "$status" ;; *) wrong 'the pages do not answer' ;; esac
key=${key%?}x
printf 'header = "Authorization: Bearer %s"\n' "$key" > "$folder/key"
call GET "$at/orders/o-1"
expect 'a wrong key is refused' 401
printf '\nall is right: %s\n' "$at"
