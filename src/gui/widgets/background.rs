//! Something that a view shows and that takes longer than a frame to make.

use eframe::egui::Context;

use crate::error::Result;
use crate::task::{Runner, Task, TaskState};

/// The last thing made, and the worker that makes the next.
pub(crate) struct Background<K, T> {
    made: Option<(K, Result<T>)>,
    under_way: Option<(K, Task<T>)>,
}

impl<K, T> Default for Background<K, T> {
    fn default() -> Self {
        Self { made: None, under_way: None }
    }
}

impl<K: PartialEq, T: Send + 'static> Background<K, T> {
    /// What was made for `key`; what was made before until it is there, `None` before anything is. The window is woken
    /// when it comes.
    pub(crate) fn get(
        &mut self,
        ctx: &Context,
        key: K,
        make: impl FnOnce() -> Result<T> + Send + 'static,
    ) -> Option<&Result<T>> {
        if !self.is_asked(&key) {
            self.ask(ctx, key, make);
        }
        self.made()
    }

    /// The same, made at once where `is_quick` says that it takes less than a frame: nothing flickers. Comes with its key,
    /// by which the rest of a picture can be drawn as it belongs to it.
    pub(crate) fn get_keyed(
        &mut self,
        ctx: &Context,
        key: K,
        is_quick: bool,
        make: impl FnOnce() -> Result<T> + Send + 'static,
    ) -> Option<(&K, &Result<T>)> {
        if !self.is_asked(&key) {
            if is_quick {
                self.under_way = None;
                self.made = Some((key, make()));
            } else {
                self.ask(ctx, key, make);
            }
        }
        self.made();
        self.held()
    }

    /// The last thing that came, with its key.
    pub(crate) fn held(&self) -> Option<(&K, &Result<T>)> {
        self.made.as_ref().map(|(key, made)| (key, made))
    }

    /// Whether what belongs to `key` is there or under way.
    pub(crate) fn is_asked(&self, key: &K) -> bool {
        match &self.under_way {
            Some((wanted, _)) => wanted == key,
            None => self.made.as_ref().is_some_and(|(made, _)| made == key),
        }
    }

    /// Starts a worker for `key`, unless one is busy still: that one wakes the window when it ends, which then asks again
    /// for what it wants by then. However fast a slider moves, there is one worker.
    pub(crate) fn ask(&mut self, ctx: &Context, key: K, make: impl FnOnce() -> Result<T> + Send + 'static) {
        self.made();
        if self.under_way.is_some() {
            return;
        }
        let waker = ctx.clone();
        let runner = Runner::new(move || waker.request_repaint());
        self.under_way = Some((key, runner.spawn("picture", move |_| make())));
    }

    /// The last thing that came.
    pub(crate) fn made(&mut self) -> Option<&Result<T>> {
        if let Some((wanted, mut task)) = self.under_way.take() {
            match task.poll() {
                TaskState::Ended(result) => self.made = Some((wanted, result)),
                TaskState::Running(_) => self.under_way = Some((wanted, task)),
            }
        }
        self.made.as_ref().map(|(_, made)| made)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    #[test]
    fn one_thing_is_made_at_a_time_and_the_last_wish_comes_true() {
        let ctx = Context::default();
        let mut background = Background::<u32, u32>::default();
        let (go, wait) = mpsc::channel::<()>();
        assert!(background.get(&ctx, 1, move || Ok(wait.recv().map_or(0, |()| 1))).is_none());
        // While the first is being made, no other is begun.
        for wish in 2..50 {
            assert!(background.get(&ctx, wish, move || panic!("{wish} was begun")).is_none());
        }
        go.send(()).unwrap();
        let mut seen = Vec::new();
        while seen.last() != Some(&9) {
            let found =
                background.get_keyed(&ctx, 9, false, || Ok(9)).map(|(key, made)| (*key, *made.as_ref().unwrap()));
            if let Some((key, made)) = found {
                assert_eq!(key, made, "what comes has its own key");
                seen.push(made);
            }
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        // On a busy machine the second may be there before the first was looked at.
        assert!(seen.iter().all(|made| [1, 9].contains(made)), "{seen:?}");
        assert_eq!(background.get_keyed(&ctx, 10, true, || Ok(10)).map(|(key, _)| *key), Some(10), "at once");
    }
}
