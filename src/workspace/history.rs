//! Undo and redo of a value, each step under the name a person reads in the menu.

/// A value with the states it had.
#[derive(Clone, Debug)]
pub struct History<T> {
    now: T,
    past: Vec<HistoryStep<T>>,
    future: Vec<HistoryStep<T>>,
    /// Name and starting value of an interaction that has not ended, e.g. a slider being dragged.
    open: Option<HistoryStep<T>>,
}

#[derive(Clone, Debug)]
struct HistoryStep<T> {
    name: String,
    /// The value on the other side of this step.
    value: T,
}

/// Steps kept before the oldest is forgotten.
const LIMIT: usize = 200;

impl<T: Clone + PartialEq> History<T> {
    /// A history that begins here.
    pub fn new(now: T) -> Self {
        Self { now, past: Vec::new(), future: Vec::new(), open: None }
    }

    pub fn now(&self) -> &T {
        &self.now
    }

    /// Changes the value as one step; a change that changes nothing leaves no step.
    pub fn edit(&mut self, name: impl Into<String>, change: impl FnOnce(&mut T)) {
        self.finish();
        let before = self.now.clone();
        change(&mut self.now);
        self.push(name.into(), before);
    }

    /// Changes the value inside an interaction: all changes of one name until [`History::finish`] are one step.
    pub fn adjust(&mut self, name: &str, change: impl FnOnce(&mut T)) {
        if self.open.as_ref().is_none_or(|step| step.name != name) {
            self.finish();
            self.open = Some(HistoryStep { name: name.to_owned(), value: self.now.clone() });
        }
        change(&mut self.now);
    }

    /// Changes the value without a step, for what follows from elsewhere (a new analysis under a threshold).
    pub fn follow(&mut self, change: impl FnOnce(&mut T)) {
        change(&mut self.now);
    }

    pub fn finish(&mut self) {
        if let Some(step) = self.open.take() {
            self.push(step.name, step.value);
        }
    }

    /// What undo would take back.
    pub fn undo_name(&self) -> Option<&str> {
        self.open.as_ref().or(self.past.last()).map(|step| step.name.as_str())
    }

    /// What redo would do again.
    pub fn redo_name(&self) -> Option<&str> {
        self.future.last().map(|step| step.name.as_str())
    }

    /// Takes the last step back and names it.
    pub fn undo(&mut self) -> Option<String> {
        self.finish();
        let step = self.past.pop()?;
        let after = std::mem::replace(&mut self.now, step.value);
        self.future.push(HistoryStep { name: step.name.clone(), value: after });
        Some(step.name)
    }

    /// Does the last undone step again and names it.
    pub fn redo(&mut self) -> Option<String> {
        self.finish();
        let step = self.future.pop()?;
        let before = std::mem::replace(&mut self.now, step.value);
        self.past.push(HistoryStep { name: step.name.clone(), value: before });
        Some(step.name)
    }

    fn push(&mut self, name: String, before: T) {
        if before == self.now {
            return;
        }
        self.future.clear();
        self.past.push(HistoryStep { name, value: before });
        if self.past.len() > LIMIT {
            self.past.remove(0);
        }
    }
}

/// The histories of workspaces that were closed, by what names them, the latest last.
#[derive(Clone, Debug)]
pub struct ClosedHistories<T> {
    held: Vec<(String, History<T>)>,
}

/// Workspaces whose histories are held before that of the oldest is forgotten.
const HELD: usize = 8;

impl<T> Default for ClosedHistories<T> {
    fn default() -> Self {
        Self { held: Vec::new() }
    }
}

impl<T: Clone + PartialEq> ClosedHistories<T> {
    /// Holds the history of a workspace that is closed.
    pub fn hold(&mut self, name: &str, mut history: History<T>) {
        history.finish();
        self.held.retain(|(held, _)| held != name);
        self.held.push((name.to_owned(), history));
        if self.held.len() > HELD {
            self.held.remove(0);
        }
    }

    /// The history of a workspace that is opened and stands at `now`: the one that was held, where it ended there, else one
    /// that begins here.
    pub fn reopen(&mut self, name: &str, now: T) -> History<T> {
        let place = self.held.iter().position(|(held, history)| held == name && *history.now() == now);
        place.map_or_else(|| History::new(now), |place| self.held.remove(place).1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_go_back_and_forth_by_name() {
        let mut history = History::new(1);
        history.edit("double", |v| *v *= 2);
        history.edit("add ten", |v| *v += 10);
        assert_eq!((*history.now(), history.undo_name(), history.redo_name()), (12, Some("add ten"), None));
        assert_eq!(history.undo().as_deref(), Some("add ten"));
        assert_eq!((*history.now(), history.redo_name()), (2, Some("add ten")));
        assert_eq!(history.redo().as_deref(), Some("add ten"));
        assert_eq!(*history.now(), 12);
        history.undo();
        history.edit("negate", |v| *v = -*v);
        assert_eq!((*history.now(), history.redo()), (-2, None));
        assert_eq!([history.undo(), history.undo(), history.undo()].iter().flatten().count(), 2);
        assert_eq!(*history.now(), 1);
    }

    #[test]
    fn a_drag_is_one_step_and_no_change_is_none() {
        let mut history = History::new(0);
        for v in 1..=5 {
            history.adjust("drag", |now| *now = v);
        }
        assert_eq!(history.undo_name(), Some("drag"));
        history.finish();
        history.adjust("drag", |now| *now = 9);
        history.finish();
        history.edit("nothing", |_| {});
        assert_eq!(history.undo().as_deref(), Some("drag"));
        assert_eq!(*history.now(), 5);
        history.undo();
        assert_eq!((*history.now(), history.undo()), (0, None));
    }

    #[test]
    fn a_closed_history_goes_on_where_it_ended_and_nowhere_else() {
        let mut closed = ClosedHistories::default();
        let history = || {
            let mut history = History::new(1);
            history.edit("double", |v| *v *= 2);
            // A drag that was not let go of.
            history.adjust("drag", |v| *v += 1);
            history
        };
        closed.hold("a", history());
        let mut other = closed.reopen("b", 3);
        assert_eq!(other.undo(), None);
        let mut again = closed.reopen("a", 3);
        assert_eq!((again.undo().as_deref(), again.undo().as_deref(), *again.now()), (Some("drag"), Some("double"), 1));
        // Something else wrote the workspace meanwhile.
        closed.hold("a", history());
        assert_eq!(closed.reopen("a", 7).undo(), None);
        for name in 0..HELD {
            closed.hold(&name.to_string(), history());
        }
        assert_eq!(closed.reopen("a", 3).undo(), None, "the oldest is forgotten");
    }

    #[test]
    fn memory_is_bounded() {
        let mut history = History::new(0);
        for _ in 0..LIMIT + 50 {
            history.edit("count", |v| *v += 1);
        }
        assert_eq!(std::iter::from_fn(|| history.undo()).count(), LIMIT);
        assert_eq!(*history.now(), 50);
    }
}
