use std::collections::BTreeMap;

/// Senders finish in any order; this puts their messages back into the order of the log, and their changes into theirs.
///
/// What comes early is held until what belongs before it has come, or until someone loses patience and
/// calls [`Order::release`]. What comes late, after that, is dropped: sockets have read it from the log.
#[derive(Debug)]
pub(super) struct Order<T> {
    next: Option<i64>,
    held: BTreeMap<i64, T>,
}

impl<T> Default for Order<T> {
    fn default() -> Self {
        Self { next: None, held: BTreeMap::new() }
    }
}

impl<T> Order<T> {
    /// More than this is never held.
    const PATIENCE: usize = 1024;

    /// Takes the item at `seq` and gives back all whose turn has come.
    pub(super) fn offer(&mut self, seq: i64, item: T) -> Vec<T> {
        match self.next {
            Some(next) if seq < next => return Vec::new(),
            None => self.next = Some(seq),
            Some(_) => {}
        }
        self.held.insert(seq, item);
        if self.held.len() > Self::PATIENCE { self.release() } else { self.ready() }
    }

    /// Whether the item at `seq` has neither left nor come.
    pub(super) fn lacks(&self, seq: i64) -> bool {
        self.next.is_none_or(|next| seq >= next) && !self.held.contains_key(&seq)
    }

    /// What is waited for; nothing, if nothing is held.
    pub(super) fn awaited(&self) -> Option<i64> {
        self.next.filter(|_| !self.held.is_empty())
    }

    /// Gives back everything, whatever is missing.
    pub(super) fn release(&mut self) -> Vec<T> {
        if let Some((last, _)) = self.held.last_key_value() {
            self.next = Some(last + 1);
        }
        std::mem::take(&mut self.held).into_values().collect()
    }

    fn ready(&mut self) -> Vec<T> {
        let mut ready = Vec::new();
        while let Some(next) = self.next
            && let Some(item) = self.held.remove(&next)
        {
            ready.push(item);
            self.next = Some(next + 1);
        }
        ready
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Whatever the order of arrival after the first, everything leaves once and in order.
        #[test]
        fn everything_leaves_once_and_in_order(mut rest in Just((2..60_i64).collect::<Vec<_>>()).prop_shuffle()) {
            let mut order = Order::default();
            let mut left = order.offer(1, 1);
            rest.extend(rest.clone());
            for seq in rest {
                left.extend(order.offer(seq, seq));
            }
            prop_assert_eq!(left, (1..60).collect::<Vec<_>>());
            prop_assert_eq!(order.awaited(), None);
        }
    }

    #[test]
    fn what_is_missing_holds_the_rest_until_released() {
        let mut order = Order::default();
        assert_eq!(order.offer(1, 'a'), ['a']);
        assert_eq!(order.offer(3, 'c'), []);
        assert_eq!(order.awaited(), Some(2));
        assert!(order.lacks(2) && !order.lacks(1) && !order.lacks(3));
        assert_eq!(order.release(), ['c']);
        assert!(!order.lacks(2), "nobody waits any longer");
        assert_eq!(order.offer(2, 'b'), [], "too late");
        assert_eq!(order.offer(4, 'd'), ['d']);
    }
}
