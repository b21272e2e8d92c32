//! Something that a view shows and that takes longer than a frame to make.

use eframe::egui::Context;

use crate::error::Result;
use crate::task::{Runner, State, Task};

/// The last thing made, and the worker that makes the next.
pub struct Background<K, T> {
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
    pub fn get(
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
    pub fn get_keyed(
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
        self.made.as_ref().map(|(key, made)| (key, made))
    }

    /// Whether what belongs to `key` is there or under way.
    pub fn is_asked(&self, key: &K) -> bool {
        match &self.under_way {
            Some((wanted, _)) => wanted == key,
            None => self.made.as_ref().is_some_and(|(made, _)| made == key),
        }
    }

    /// Starts a worker for `key`; one for another key is told to stop.
    pub fn ask(&mut self, ctx: &Context, key: K, make: impl FnOnce() -> Result<T> + Send + 'static) {
        if let Some((_, task)) = self.under_way.take() {
            task.cancel();
        }
        let waker = ctx.clone();
        let runner = Runner::new(move || waker.request_repaint());
        self.under_way = Some((key, runner.spawn("picture", move |_| make())));
    }

    /// The last thing that came.
    pub fn made(&mut self) -> Option<&Result<T>> {
        if let Some((wanted, mut task)) = self.under_way.take() {
            match task.poll() {
                State::Ended(result) => self.made = Some((wanted, result)),
                State::Running(_) => self.under_way = Some((wanted, task)),
            }
        }
        self.made.as_ref().map(|(_, made)| made)
    }
}
