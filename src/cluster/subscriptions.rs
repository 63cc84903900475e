//! What a member wants to hear, and what of that its broker has not been told yet. Any thread changes it without waiting.

use indexmap::IndexMap;
use parking_lot::Mutex;

use super::broker::Subscription;

/// Something that the broker is to be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    Subscribe(Subscription),
    Unsubscribe(Subscription),
}

#[derive(Default)]
struct State {
    wanted: IndexMap<Subscription, ()>,
    /// Whether each of these is to be subscribed to, or not any more.
    untold: IndexMap<Subscription, bool>,
}

/// The subscriptions of a member.
#[derive(Default)]
pub struct Subscriptions {
    state: Mutex<State>,
}

impl Subscriptions {
    /// Wants one, or does not want it any more, as `is_wanted` says when it can be the last word on that; whether that is news for the broker.
    pub fn set(&self, subscription: Subscription, is_wanted: impl FnOnce() -> bool) -> bool {
        let mut state = self.state.lock();
        let is_wanted = is_wanted();
        let was_wanted = match is_wanted {
            true => state.wanted.insert(subscription.clone(), ()).is_some(),
            false => state.wanted.swap_remove(&subscription).is_some(),
        };
        if was_wanted == is_wanted {
            return false;
        }
        // What it has not been told yet it need not be told at all.
        if state.untold.swap_remove(&subscription).is_none() {
            state.untold.insert(subscription, is_wanted);
        }
        true
    }

    /// A connection is new: its broker knows nothing yet.
    pub fn restart(&self) {
        let mut state = self.state.lock();
        state.untold = state.wanted.keys().map(|subscription| (subscription.clone(), true)).collect();
    }

    /// Takes what is to be told; up to `max`.
    pub fn take(&self, max: usize) -> Vec<Change> {
        let mut state = self.state.lock();
        let count = state.untold.len().min(max);
        let change = |(subscription, is_wanted)| match is_wanted {
            true => Change::Subscribe(subscription),
            false => Change::Unsubscribe(subscription),
        };
        state.untold.drain(..count).map(change).collect()
    }

    /// Whether the broker knows all.
    pub fn is_told(&self) -> bool {
        self.state.lock().untold.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(name: &str) -> Subscription {
        Subscription::channel(name.to_owned())
    }

    #[test]
    fn what_changes_back_is_not_told() {
        let all = Subscriptions::default();
        assert!(all.set(one("a"), || true) && all.set(one("b"), || true) && !all.set(one("a"), || true));
        assert_eq!(all.take(9), [Change::Subscribe(one("a")), Change::Subscribe(one("b"))]);
        assert!(all.set(one("a"), || false) && all.set(one("c"), || true));
        assert!(all.set(one("a"), || true) && all.set(one("c"), || false) && !all.set(one("d"), || false));
        assert!(all.is_told());
    }

    #[test]
    fn a_new_connection_is_told_all_that_is_wanted() {
        let all = Subscriptions::default();
        for name in ["a", "b", "c"] {
            all.set(one(name), || true);
        }
        assert_eq!(all.take(2).len(), 2);
        all.set(one("a"), || false);
        all.restart();
        let mut told = all.take(9);
        told.sort_by_key(|change| format!("{change:?}"));
        assert_eq!(told, [Change::Subscribe(one("b")), Change::Subscribe(one("c"))]);
    }
}
