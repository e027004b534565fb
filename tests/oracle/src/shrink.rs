//! What makes a failing world small before it is shown: facts go, and fields of facts, as long as it still fails.

use serde_json::Value;

use crate::naive::World;

/// A world that fails as this one does, and of which nothing can be left out.
pub fn shrink(mut world: World, fails: impl Fn(&World) -> bool) -> World {
    loop {
        let before = facts(&world);
        for list in [0, 1, 2] {
            world = fewer(world, list, &fails);
        }
        for replay in (0..world.replays.len()).rev() {
            let mut less = world.clone();
            less.replays.remove(replay);
            world = if fails(&less) { less } else { world };
        }
        for version in (1..world.versions.len()).rev() {
            let mut less = world.clone();
            less.versions.remove(version);
            world = if fails(&less) { less } else { world };
        }
        for list in [0, 1, 2] {
            for fact in 0..lists(&mut world)[list].len() {
                let fields = lists(&mut world)[list][fact].as_object().cloned();
                for field in fields.unwrap_or_default().keys() {
                    let mut less = world.clone();
                    let fact = lists(&mut less)[list][fact].as_object_mut();
                    drop(fact.and_then(|fact| fact.remove(field)));
                    world = if fails(&less) { less } else { world };
                }
            }
        }
        if facts(&world) == before {
            return world;
        }
    }
}

/// How many facts a world has, in all its lists.
pub fn facts(world: &World) -> usize {
    world.events.len() + world.orders.len() + world.campaigns.len()
}

fn lists(world: &mut World) -> [&mut Vec<Value>; 3] {
    [&mut world.events, &mut world.orders, &mut world.campaigns]
}

/// Leaves out facts of a list: many at a time, then fewer, then each by itself.
fn fewer(mut world: World, list: usize, fails: impl Fn(&World) -> bool) -> World {
    let mut size = lists(&mut world)[list].len();
    while size > 0 {
        let mut at = 0;
        while at < lists(&mut world)[list].len() {
            let mut less = world.clone();
            let facts = &mut lists(&mut less)[list];
            facts.drain(at..(at + size).min(facts.len()));
            if fails(&less) {
                world = less;
            } else {
                at += size;
            }
        }
        size /= 2;
    }
    world
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::worlds::world;

    /// Fails where an order and an event are of the same customer: the smallest such world has just these two.
    #[test]
    fn what_does_not_matter_goes() {
        let same = |world: &World| {
            let of = |event: &Value, order: &Value| {
                event["customer_id"] == order["customer_id"] && event["kind"] == "clicked"
            };
            let events = &mut world.events.iter();
            events.any(|event| world.orders.iter().any(|order| of(event, order)))
        };
        let failing: Vec<u64> = (0..200).filter(|seed| same(&world(*seed))).collect();
        assert!(failing.len() > 20, "{}", failing.len());
        for seed in failing {
            let small = shrink(world(seed), same);
            assert_eq!(
                (small.events.len(), small.orders.len(), facts(&small)),
                (1, 1, 2)
            );
            assert_eq!(small.versions.len(), 1);
            assert_eq!(
                small.events[0].as_object().map(|event| event.len()),
                Some(2),
                "{small:?}"
            );
            assert_eq!(
                small.orders[0].as_object().map(|order| order.len()),
                Some(1),
                "{small:?}"
            );
        }
    }
}
