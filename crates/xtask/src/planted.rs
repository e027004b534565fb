//! The planted bugs: where, what instead, and who must find it.

/// A test, and the sizes it is run at.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Harness {
    /// Its whole name.
    pub(crate) test: &'static str,
    /// Variables of its environment.
    pub(crate) env: &'static [(&'static str, &'static str)],
}

/// A bug. The text is an expression, or a statement, that stands once in the file; the bug stands in its place.
pub(crate) struct Mutant {
    pub(crate) name: &'static str,
    pub(crate) file: &'static str,
    pub(crate) text: &'static str,
    pub(crate) with: &'static str,
    pub(crate) found_by: Harness,
}

const fn by(test: &'static str, env: &'static [(&'static str, &'static str)]) -> Harness {
    Harness { test, env }
}

const RULES: Harness = by(
    "rules::worlds::core_equals_the_second_implementation",
    &[("REVTRAIL_WORLDS", "3000")],
);
const WORLDS_HTTP: Harness = by(
    "http::worlds::worlds_over_http_equal_the_second_implementation",
    &[("REVTRAIL_HTTP_WORLDS", "50")],
);
const ISOLATION: Harness = by(
    "http::isolation::a_marketplace_is_the_same_with_and_without_another",
    &[],
);
const LATE: Harness = by(
    "faults::retries::what_comes_late_moves_the_credit_once",
    &[],
);
const TWICE: Harness = by("faults::retries::twice_and_shuffled_gives_the_same", &[]);
/// The crash points of one act, a tick that decides orders again: pages cut and kills among them, each at every call.
const CRASH: Harness = by(
    "faults::crash::every_crash_point_ends_in_the_same_figures",
    &[("REVTRAIL_ACT", "7")],
);
/// The crash points of folds that put parts beside the aggregates of their days.
const CRASH_OF_PARTS: Harness = by(
    "faults::crash::every_crash_point_ends_in_the_same_figures",
    &[("REVTRAIL_ACT", "12")],
);
const FROZEN: Harness = by("faults::frozen_workers::whoever_thaws_does_no_harm", &[]);
const ENVELOPES: Harness = by(
    "faults::envelope::every_envelope_is_answered_as_the_corpus_says",
    &[],
);

const MERGE: Harness = by(
    "faults::runs::a_report_that_meets_a_merge_shows_each_figure_once",
    &[],
);
const VERIFIED: Harness = by(
    "faults::runs::a_verification_counts_each_customer_once_whoever_goes_on_with_it",
    &[],
);
const RIGHT: Harness = by("faults::verification::what_is_right_is_found_right", &[]);
const WRONG_DAY: Harness = by(
    "faults::verification::a_wrong_daily_aggregate_is_found_and_set_right",
    &[],
);
const WRONG_TOTAL: Harness = by(
    "faults::verification::a_wrong_total_of_a_promotion_is_found_and_set_right",
    &[],
);
const CHANGING_DAY: Harness = by(
    "faults::verification::a_day_that_changes_during_every_walk_is_named",
    &[],
);
const TURNS: Harness = by(
    "faults::runs::whom_a_change_touches_is_found_in_as_many_turns_as_it_takes",
    &[],
);
const TURNS_AHEAD: Harness = by(
    "faults::look_ahead::a_look_ahead_has_each_customer_once_in_as_many_turns_as_it_takes",
    &[],
);
const OVERTAKEN: Harness = by(
    "faults::look_ahead::whoever_is_overtaken_leaves_what_was_found",
    &[],
);
const THAWED: Harness = by(
    "faults::exports::whoever_thaws_writes_nothing_that_counts",
    &[],
);
const MEETS_ERASURE: Harness = by(
    "faults::exports::an_export_waits_for_an_erasure_and_is_removed_by_it",
    &[],
);
const HIDDEN: Harness = by(
    "http::exports::an_export_hides_revenue_where_reports_do",
    &[],
);
const REPLAYED: Harness = by(
    "http::look_ahead::a_replay_that_is_asked_for_again_is_one",
    &[],
);
/// The first orders.
const SENT_AGAIN: Harness = by(
    "faults::crash::what_the_sdk_sends_again_of_promotions_is_done_once",
    &[("REVTRAIL_ACT", "1")],
);
const AHEAD: Harness = by(
    "faults::retries::settings_hold_for_events_that_are_ahead_of_a_clock",
    &[],
);
const CASES: Harness = by(
    "http::promotion_worlds::cases_of_promotions_equal_the_second_implementation",
    &[],
);
const PROMOTIONS: Harness = by(
    "http::promotion_worlds::worlds_of_promotions_equal_the_second_implementation",
    &[("REVTRAIL_PROMOTION_WORLDS", "20")],
);
const LAST_USE: Harness = by(
    "faults::two_at_once::every_order_of_two_callers_of_promotions_ends_as_in_turn",
    &[("REVTRAIL_MEETING", "two redeems of the last use")],
);
const OVERDRAWN: Harness = by(
    "faults::two_at_once::every_order_of_two_callers_of_promotions_ends_as_in_turn",
    &[(
        "REVTRAIL_MEETING",
        "two rollbacks of a voucher that is overdrawn",
    )],
);
const REFUSED: Harness = by(
    "faults::crash::what_is_refused_for_now_is_sent_again",
    &[("REVTRAIL_ACT", "1")],
);
const DISABLED: Harness = by(
    "faults::two_at_once::every_order_of_two_callers_of_promotions_ends_as_in_turn",
    &[(
        "REVTRAIL_MEETING",
        "a redeem and a voucher that is disabled",
    )],
);

const NAMED: Harness = by(
    "http::erasure::nothing_names_whoever_was_erased_and_every_figure_stays",
    &[],
);
const LATER: Harness = by(
    "http::erasure::what_comes_between_the_answer_and_the_work_is_a_new_customers",
    &[],
);
const HALF: Harness = by(
    "faults::erasures::an_erasure_and_another_end_as_if_one_came_after_the_other",
    &[("REVTRAIL_MEETING", "a fold")],
);

const SPELLINGS: Harness = by(
    "cases::files::case_01_no_output_is_an_input_or_another_output_however_it_is_spelled",
    &[],
);
const LINE_ENDS: Harness = by(
    "cases::files::case_02_rows_are_the_same_whatever_their_lines_end_in",
    &[],
);

pub(crate) const MUTANTS: &[Mutant] = &[
    Mutant {
        name: "a_message_that_names_an_erased_customer",
        file: "crates/store/src/erasures/pieces.rs",
        text: "self.move_messages(some).await?",
        with: "true",
        found_by: NAMED,
    },
    Mutant {
        name: "an_erasure_takes_what_came_after_its_answer",
        file: "crates/store/src/erasures/cut.rs",
        text: "names.sort_keys.contains(sort_key)",
        with: "names.sort_keys.contains(sort_key) || !sort_key.is_empty()",
        found_by: LATER,
    },
    Mutant {
        name: "what_came_after_an_erasure_is_never_folded",
        file: "crates/store/src/erasures/pieces.rs",
        text: "self.has_late |= !late.is_empty()",
        with: "self.has_late &= late.is_empty()",
        found_by: LATER,
    },
    Mutant {
        name: "half_a_customer_folded",
        file: "crates/hourly-attributor/src/fold.rs",
        text: "facts.stored.is_moving",
        with: "false",
        found_by: HALF,
    },
    Mutant {
        name: "a_note_that_is_ahead_goes_for_good",
        file: "crates/store/src/ledger/intake.rs",
        text: "self.is_ahead(now) && !self.customers.is_empty()",
        with: "false",
        found_by: AHEAD,
    },
    Mutant {
        name: "settings_in_force_before_the_last_run",
        file: "crates/store/src/market/settings.rs",
        text: "meta.settled_to.unwrap_or(now)",
        with: "now",
        found_by: AHEAD,
    },
    Mutant {
        name: "a_rollback_of_anything",
        file: "crates/store/src/promotions/redeem/plan.rs",
        text: "of.is_some_and(|of| of != *redemption)",
        with: "false",
        found_by: CASES,
    },
    Mutant {
        name: "a_window_without_its_end",
        file: "crates/core/src/attribution/decide.rs",
        text: "placed_at > end",
        with: "placed_at >= end",
        found_by: RULES,
    },
    Mutant {
        name: "the_same_instant_supersedes",
        file: "crates/core/src/attribution/decide.rs",
        text: "(latest.0 > sent_at).then_some(latest)",
        with: "(latest.0 >= sent_at).then_some(latest)",
        found_by: RULES,
    },
    Mutant {
        name: "look_back_not_applied",
        file: "crates/core/src/attribution/decide.rs",
        text: "touchpoint.at < placed_at.minus_ms(ms)",
        with: "touchpoint.at < placed_at.minus_ms(1_000 * ms)",
        found_by: WORLDS_HTTP,
    },
    Mutant {
        name: "money_as_a_float",
        file: "crates/core/src/figures/daily.rs",
        text: "sum.revenue += times(earned.revenue, sign)",
        with: r#"{
            let float = |money: Money| money.to_string().parse::<f64>().unwrap_or(0.0);
            let summed = format!("{:.6}", float(sum.revenue) + float(times(earned.revenue, sign)));
            sum.revenue = Money::parse(&summed).unwrap_or_default();
        }"#,
        found_by: RULES,
    },
    Mutant {
        name: "an_event_overwritten",
        file: "crates/store/src/ledger/facts.rs",
        text: "match self
                .market
                .store
                .put(item, Some(Condition::absent()))
                .await?
            {
                PutOutcome::Done(_) => EventOutcome::Stored,
                PutOutcome::Refused(current) => {
                    let current: EventItem = data(&current)?;
                    let current = current.event(event.event_id.clone(), event.recipient.clone());
                    EventOutcome::Duplicate(Box::new(current))
                }
            }",
        with: "match self.market.store.put(item, None).await? {
                PutOutcome::Done(None) => EventOutcome::Stored,
                _ => EventOutcome::Duplicate(Box::new(event.clone())),
            }",
        found_by: WORLDS_HTTP,
    },
    Mutant {
        name: "an_order_turned_back",
        file: "crates/store/src/ledger/facts.rs",
        text: "Some(Condition::absent_or_less(DATA, &standing))",
        with: "None",
        found_by: TWICE,
    },
    Mutant {
        name: "a_forgotten_page",
        file: "crates/store/src/table/client.rs",
        text: "from = Some(next)",
        with: "return Ok(items)",
        found_by: CRASH,
    },
    Mutant {
        name: "a_marketplace_left_out_of_a_key",
        file: "crates/store/src/table/keys.rs",
        text: r#"part(id, "g")"#,
        with: r#"{ let _ = id; "m/all/g".to_owned() }"#,
        found_by: ISOLATION,
    },
    Mutant {
        name: "a_send_time_that_moves_unnoticed",
        file: "crates/core/src/attribution/reach.rs",
        text: "times[0] == times[1]",
        with: "true",
        found_by: LATE,
    },
    Mutant {
        name: "a_fold_that_only_adds",
        file: "crates/store/src/ledger/contribution.rs",
        text: "difference.subtract(&aggregate(&pending.stored, day))",
        with: "{}",
        found_by: TWICE,
    },
    Mutant {
        name: "a_purchase_row_left_behind",
        file: "crates/store/src/ledger/contribution.rs",
        text: "writes.push(self.market.store.delete_write(&stood, None))",
        with: "{}",
        found_by: LATE,
    },
    Mutant {
        name: "no_condition_on_the_version",
        file: "crates/store/src/ledger/contribution.rs",
        text: "Some(Condition::version(old.version))",
        with: "None",
        found_by: FROZEN,
    },
    Mutant {
        name: "the_version_read_after_the_facts",
        file: "crates/store/src/ledger/facts.rs",
        text: "Ok(read.await?.map(|()| facts))",
        with: r#"{
            let read = read.await?;
            let root = self.market.store.get(&keys::root(&self.market.id, id), true).await?;
            facts.stored.version = root.as_ref().map_or(0, crate::table::item::version);
            Ok(read.map(|()| facts))
        }"#,
        found_by: FROZEN,
    },
    Mutant {
        name: "no_difference_no_new_version",
        file: "crates/store/src/ledger/contribution.rs",
        text: "stored.version += 1",
        with: "stored.version += i64::from(changes > 0)",
        found_by: FROZEN,
    },
    Mutant {
        name: "rules_not_checked_at_the_write",
        file: "crates/store/src/market/settings.rs",
        text: "Condition::version(seen.version)",
        with: r#"Condition::without("never")"#,
        found_by: FROZEN,
    },
    Mutant {
        name: "a_sheet_without_its_version",
        file: "crates/store/src/ledger/daily.rs",
        text: "Some(unchanged)",
        with: "None",
        found_by: FROZEN,
    },
    Mutant {
        name: "a_part_that_counts_twice",
        file: "crates/store/src/ledger/parts.rs",
        text: "self.parts.remove(name).is_some()",
        with: "self.parts.contains_key(name)",
        found_by: CRASH_OF_PARTS,
    },
    Mutant {
        name: "a_merge_unnoticed",
        file: "crates/store/src/ledger/daily.rs",
        text: "version_of(shard) >= since",
        with: "version_of(shard) >= 0 && since > 0",
        found_by: MERGE,
    },
    Mutant {
        name: "a_list_left_out_where_a_walk_goes_on",
        file: "crates/store/src/ledger/purchases.rs",
        text: "*list < next",
        with: "*list <= next",
        found_by: TURNS,
    },
    Mutant {
        name: "a_refused_write_given_up",
        file: "crates/store/src/table/retry.rs",
        text: "put || update || delete || cancelled",
        with: "cancelled",
        found_by: REFUSED,
    },
    Mutant {
        name: "an_open_use_nobody_counts",
        file: "crates/store/src/promotions/redeem/write.rs",
        text: "open.by_root",
        with: "open.opened > 0",
        found_by: OVERDRAWN,
    },
    Mutant {
        name: "a_write_sent_again",
        file: "crates/store/src/table/retry.rs",
        text: "self.classify_retry(ctx)",
        with: "{ let _ = ctx; RetryAction::NoActionIndicated }",
        found_by: SENT_AGAIN,
    },
    Mutant {
        name: "a_verification_counted_twice",
        file: "crates/store/src/jobs/job.rs",
        text: "Condition::equals(VERSION, AttributeValue::N(job.version.to_string()))",
        with: "Condition::present()",
        found_by: VERIFIED,
    },
    Mutant {
        name: "a_cache_that_forgets_what_it_wrote",
        file: "crates/store/src/ledger/daily.rs",
        text: "on.stored.aggregate.add(difference)",
        with: "{}",
        found_by: RIGHT,
    },
    Mutant {
        name: "a_rollback_that_keeps_its_reward",
        file: "crates/store/src/promotions/redeem/limits.rs",
        text: "-amount",
        with: "revtrail_core::value::money::Money::ZERO",
        found_by: RIGHT,
    },
    Mutant {
        name: "a_wrong_day_unnoticed",
        file: "crates/store/src/jobs/verification.rs",
        text: "difference.is_empty()",
        with: "true",
        found_by: WRONG_DAY,
    },
    Mutant {
        name: "a_wrong_total_unnoticed",
        file: "crates/store/src/promotions/verify.rs",
        text: "wrong.is_empty() && beyond.is_empty()",
        with: "true",
        found_by: WRONG_TOTAL,
    },
    Mutant {
        name: "a_day_that_moved_compared_all_the_same",
        file: "crates/store/src/jobs/verification.rs",
        text: "read.versions() != versions",
        with: "false && read.versions() != versions",
        found_by: CHANGING_DAY,
    },
    Mutant {
        name: "notes_go_before_units_come",
        file: "crates/hourly-attributor/src/plan.rs",
        text: "gathered.flush().await?",
        with: "{
            let going: Vec<IntakeMarker> = markers.iter().filter(|marker| marker.may_go(now)).cloned().collect();
            market.daily().absorb_markers(&going, versions, cache, now).await?;
            gathered.flush().await?
        }",
        found_by: CRASH,
    },
    Mutant {
        name: "a_failed_message_acknowledged",
        file: "crates/hourly-attributor/src/envelope.rs",
        text: "failed.push(id)",
        with: "{}",
        found_by: ENVELOPES,
    },
    Mutant {
        name: "the_last_success_for_the_first",
        file: "crates/core/src/promotion/account.rs",
        text: "(this.0, this.1) < (first.0, first.1)",
        with: "(this.0, this.1) > (first.0, first.1)",
        found_by: PROMOTIONS,
    },
    Mutant {
        name: "any_code_for_its_own",
        file: "crates/core/src/promotion/account.rs",
        text: "!has_its_code(offer)",
        with: "has_its_code(offer) && false",
        found_by: PROMOTIONS,
    },
    Mutant {
        name: "a_use_taken_that_is_not_there",
        file: "crates/store/src/promotions/redeem/write.rs",
        text: "change.require_least(attribute, least)",
        with: "{ let _ = least; change }",
        found_by: LAST_USE,
    },
    Mutant {
        name: "a_promotion_that_changed_meanwhile",
        file: "crates/store/src/promotions/redeem/write.rs",
        text: "change.require_number(figures::PROMOTION_VERSION, version)",
        with: "change",
        found_by: DISABLED,
    },
    Mutant {
        name: "the_rest_of_shares_goes_to_the_smallest_remainder",
        file: "crates/core/src/attribution/models.rs",
        text: "cut_off.sort_unstable()",
        with: "cut_off.sort_unstable_by(|a, b| b.cmp(a))",
        found_by: RULES,
    },
    Mutant {
        name: "the_oldest_replay_wins",
        file: "crates/core/src/attribution/settings/versions.rs",
        text: "self.replays.iter().rfind(holds)",
        with: "self.replays.iter().find(holds)",
        found_by: RULES,
    },
    Mutant {
        name: "an_order_that_changes_its_amount_does_not_move",
        file: "crates/core/src/figures/preview.rs",
        text: "from == to",
        with: "from.map(|held| held.0) == to.map(|held| held.0)",
        found_by: RULES,
    },
    Mutant {
        name: "a_walk_that_goes_on_with_the_last_customer",
        file: "crates/store/src/jobs/job.rs",
        text: "name > after",
        with: "name >= after",
        found_by: TURNS_AHEAD,
    },
    Mutant {
        name: "a_walk_that_was_overtaken_goes_on",
        file: "crates/store/src/jobs/look_aheads.rs",
        text: "Some(condition)",
        with: "Some(condition).filter(|_| false)",
        found_by: OVERTAKEN,
    },
    Mutant {
        name: "a_replay_that_decides_nothing_again",
        file: "crates/store/src/jobs/look_ahead.rs",
        text: "writes.push(self.market.jobs().put_job(&job))",
        with: "{ let _ = &job; }",
        found_by: REPLAYED,
    },
    Mutant {
        name: "a_part_of_an_export_counts_although_its_worker_died",
        file: "crates/store/src/jobs/exports.rs",
        text: "part.counted",
        with: "true",
        found_by: THAWED,
    },
    Mutant {
        name: "an_export_of_half_a_customer",
        file: "crates/hourly-attributor/src/export.rs",
        text: "first.stored.is_moving",
        with: "false",
        found_by: MEETS_ERASURE,
    },
    Mutant {
        name: "an_export_with_revenue_that_is_hidden",
        file: "crates/hourly-attributor/src/export/rows.rs",
        text: "shows_revenue.then_some(figures.currency)",
        with: "Some(figures.currency)",
        found_by: HIDDEN,
    },
    Mutant {
        name: "a_hard_link_is_another_file",
        file: "crates/attribute/src/attribute/paths.rs",
        text: "self.inode.is_some() && self.inode == other.inode",
        with: "false",
        found_by: SPELLINGS,
    },
    Mutant {
        name: "two_lines_for_cr_lf",
        file: "crates/files/src/lines.rs",
        text: r"end == b'\r' && self.line_feed_follows()",
        with: "false",
        found_by: LINE_ENDS,
    },
];
