use super::*;

/// Ids that hold what keys are made of.
const NAMES: [&str; 15] = [
    "a", "a/", "/a", "a/e/x", "a#", "a%2F", "%23", "#", "/", "0", "meta", "o", "c/a", "🦀", " ",
];

fn address() -> AddressHash {
    AddressHash::parse("0123456789abcdef0123456789abcdef").unwrap()
}

#[test]
fn different_ids_never_meet() {
    let id = MarketplaceId::new("shop").unwrap();
    let other = MarketplaceId::new("shop-2").unwrap();
    let mut seen = std::collections::BTreeSet::new();
    let mut add = |key: Key| {
        assert!(
            seen.insert((key.pk.clone(), key.sk.clone())),
            "{key:?} twice"
        )
    };
    let (day, at) = (Day::parse("2026-11-20").unwrap(), Instant::from_ms(0));
    let address = address();
    for id in [&id, &other] {
        // A customer may be called as an address is.
        let digits = CustomerId::new(&address.to_string()).unwrap();
        add(root(id, &digits));
        add(root(id, &Recipient::from(address)));
        add(parked_customer(id, &digits));
        add(parked_customer(id, &Recipient::from(address)));
        for name in NAMES {
            let customer = CustomerId::new(name).unwrap();
            add(campaign(id, &CampaignId::new(name).unwrap()));
            add(observed_campaign(id, &CampaignId::new(name).unwrap()));
            add(order_pointer(id, &OrderId::new(name).unwrap()));
            add(root(id, &customer));
            add(mention(id, &customer, &OrderId::new(name).unwrap()));
            add(link(id, address, &customer));
            add(linked_address(id, &customer, address));
            add(segment_name(id, name));
            add(parked_customer(id, &customer));
            add(chunk(id, &customer, "2026-11"));
            let promo = PromotionId::new(name).unwrap();
            let code_ = VoucherCode::new(name).unwrap();
            let redeemed = RedemptionId::new(name).unwrap();
            let assigned = AssignmentId::new(name).unwrap();
            add(promotion(id, &promo));
            add(promotion_change(id, &promo, at, "00"));
            add(promotion_pool(id, &promo));
            add(code(id, &code_));
            add(message(id, name));
            add(order_ahead(id, &OrderId::new(name).unwrap()));
            add(assignment(id, &assigned));
            add(redemption(id, &redeemed));
            add(fed(id, at, FeedPlace::In(0), &redeemed));
            add(fed(id, at, FeedPlace::Back, &redeemed));
            add(rollback(id, &RollbackId::new(name).unwrap()));
            add(awaited_promotion(id, &promo));
            for shard in 0..PROMOTION_SHARDS {
                add(promotion_total(id, shard, &promo));
                add(promotion_day(id, shard, &promo, day));
                add(redemptions_in_of(id, shard, day, &promo));
                add(promotion_cell(id, shard, &promo, None, None));
            }
            for inner in NAMES {
                let promo = PromotionId::new(inner).unwrap();
                let (tier, segment) =
                    (TierId::new(name).unwrap(), SegmentName::new(inner).unwrap());
                let only = PromotionId::new("p").unwrap();
                add(promotion_cell(id, 0, &only, Some(&tier), Some(&segment)));
                add(account(id, &customer, &promo));
                add(beside_account(id, &customer, &promo));
                add(voucher(id, &promo, &code_));
                add(voucher_shard(id, 0, &promo, &code_));
                add(listed_redemption(id, &promo, at, &redeemed));
                add(listed_publication(id, &promo, at, &assigned));
                add(distribution(id, &promo, name));
                add(listed_account(id, &promo, name));
                add(listed_distribution(id, &promo, at, name));
                add(quarantined(id, &promo, at, 0, true, name));
                add(quarantined(id, &promo, at, 0, false, name));
                add(order_link(id, &OrderId::new(name).unwrap(), &promo));
                add(event(id, &customer, &EventId::new(inner).unwrap()));
                add(order(id, &customer, &OrderId::new(inner).unwrap()));
                add(purchase(
                    id,
                    &PurchaseList::Of(CampaignId::new(name).unwrap()),
                    day,
                    at,
                    &OrderId::new(inner).unwrap(),
                ));
            }
            for shard in 0..UNCREDITED_SHARDS {
                let (list, order) = (PurchaseList::Uncredited(shard), OrderId::new(name).unwrap());
                add(purchase(id, &list, day, at, &order));
            }
        }
        add(meta(id));
        add(settings_version(id, 1));
        add(replay(id, 1));
        for shard in 0..AGGREGATE_SHARDS {
            add(rules(id, shard));
            add(aggregate(id, shard, day));
            add(aggregate_part(id, shard, day, "0a"));
            add(redemptions_in_on(id, shard, day));
        }
        for shard in LIST_SHARDS.chars() {
            add(job(id, &shard.to_string()));
            add(job_list(id, &shard.to_string()));
        }
        for hash in ["0", "00", "0a"] {
            add(outdated_result(id, hash));
            add(segment(id, hash));
            add(segment_chunk(id, hash, 0));
            add(segment_chunk(id, hash, 1));
            add(erasure(id, hash));
            add(export(id, hash));
            add(export_part(id, hash, 1));
            add(export_part(id, hash, 10));
            add(logged_access(id, at, hash));
            add(batch(id, hash));
            add(once(id, hash));
            add(look_ahead(id, LookAheadKind::WhatIfs, hash));
            add(look_ahead(id, LookAheadKind::Replays, hash));
            add(look_ahead_chunk(id, hash, 0));
            add(look_ahead_chunk(id, hash, 1));
            add(verification_chunk(id, hash, 0));
            add(verification_chunk(id, hash, 1));
            add(listed_batch(id, at, hash));
            for (row, chunk) in [(0, 0), (0, 1), (1, 0), (10, 0)] {
                add(batch_reject(id, hash, row, chunk));
            }
        }
    }
}

#[test]
fn a_family_names_nobody() {
    let id = MarketplaceId::new("shop").unwrap();
    let ann = CustomerId::new("ann@example.com/m").unwrap();
    assert_eq!(family(&customer(&id, &ann)), "m/shop/c");
    assert_eq!(family(&meta(&id).pk), "m/shop/meta");
    assert_eq!(family(MARKETPLACES), MARKETPLACES);
}

#[test]
fn every_tenant_key_names_its_marketplace() {
    let id = MarketplaceId::new("shop").unwrap();
    let customer = CustomerId::new("m/other/x").unwrap();
    assert_eq!(marketplace_of(&root(&id, &customer).pk), Some("shop"));
    assert_eq!(marketplace_of(MARKETPLACES), None);
    assert_eq!(marketplace_of(&access_key("00").pk), None);
}

#[test]
fn a_key_is_cut_as_it_was_spelled() {
    let id = MarketplaceId::new("shop").unwrap();
    let (day, at) = (Day::parse("2026-11-20").unwrap(), Instant::from_ms(0));
    for name in NAMES {
        let customer = CustomerId::new(name).unwrap();
        let root = root(&id, &customer);
        assert_eq!(customer_of(&root.pk), Some(name));
        assert_eq!(customer_item(&root.sk), Some(CustomerItem::Root));
        for (sk, item) in [
            (
                chunk(&id, &customer, "2026-11").sk,
                CustomerItem::Chunk("2026-11"),
            ),
            (
                event(&id, &customer, &EventId::new(name).unwrap()).sk,
                CustomerItem::Event(name),
            ),
            (
                order(&id, &customer, &OrderId::new(name).unwrap()).sk,
                CustomerItem::Order(name),
            ),
            (
                mention(&id, &customer, &OrderId::new(name).unwrap()).sk,
                CustomerItem::Mention(name),
            ),
            (link(&id, address(), &customer).sk, CustomerItem::Link(name)),
            (
                linked_address(&id, &customer, address()).sk,
                CustomerItem::Link("0123456789abcdef0123456789abcdef"),
            ),
        ] {
            assert_eq!(customer_item(&sk), Some(item));
        }
        let promo = PromotionId::new(name).unwrap();
        let redeemed = RedemptionId::new(name).unwrap();
        let assigned = AssignmentId::new(name).unwrap();
        for sk in [
            listed_redemption(&id, &promo, at, &redeemed).sk,
            listed_publication(&id, &promo, at, &assigned).sk,
            listed_distribution(&id, &promo, at, name).sk,
        ] {
            assert_eq!(listed_id(&sk), Some(name));
        }
        for place in [FeedPlace::In(1), FeedPlace::Back] {
            let fed = fed(&id, at, place, &redeemed);
            assert_eq!(feed_entry(&fed.sk), Some((at, redeemed.clone())));
        }
        let waits = |is_redeemed| quarantined(&id, &promo, at, 1, is_redeemed, name).sk;
        assert_eq!(
            quarantine_entry(&waits(true)),
            Some(QuarantineEntry::Redemption(redeemed.clone()))
        );
        assert_eq!(
            quarantine_entry(&waits(false)),
            Some(QuarantineEntry::Assignment(assigned.clone()))
        );
        let link = order_link(&id, &OrderId::new(name).unwrap(), &promo);
        assert_eq!(link_promotion(&link.sk), Some(promo.clone()));
        let code = VoucherCode::new(name).unwrap();
        assert_eq!(
            figures_item(&voucher_shard(&id, 0, &promo, &code).sk),
            Some(FiguresItem::Voucher(name))
        );
        assert_eq!(
            figures_item(&promotion_day(&id, 0, &promo, day).sk),
            Some(FiguresItem::Day(day))
        );
        let (tier, segment) = (TierId::new(name).unwrap(), SegmentName::new(name).unwrap());
        for tier in [None, Some(tier)] {
            for segment in [None, Some(segment.clone())] {
                let cell = promotion_cell(&id, 0, &promo, tier.as_ref(), segment.as_ref());
                assert_eq!(
                    figures_item(&cell.sk),
                    Some(FiguresItem::Cell((tier.clone(), segment)))
                );
            }
        }
        assert!(is_assignment(&id, &assignment(&id, &assigned).pk));
        assert!(!is_assignment(&id, &redemption(&id, &redeemed).pk));
    }
    assert_eq!(customer_of(&meta(&id).pk), None);
    assert_eq!(customer_item("z"), None);
    assert_eq!(segment_of(&segment_chunk(&id, "7-s", 1).sk), Some("7-s"));
    let piece = batch_reject(&id, "0", 7, 1);
    assert_eq!(rejects_chunk(&piece.sk), Some("00000000000000000007"));
    assert_eq!(figures_item("d/never"), None);
    let pointer = order_pointer(&id, &OrderId::new("o").unwrap());
    assert_eq!(link_promotion(&pointer.sk), None);
}
