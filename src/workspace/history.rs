//! Undo and redo of a value, each step under the name a person reads in the menu.

/// A value with the states it had. A step may take the place of something beside the value, too: a `B`, which is too large
/// to be held for more than the last of such steps.
#[derive(Clone, Debug)]
pub struct History<T, B = ()> {
    now: T,
    past: Vec<HistoryStep<T, B>>,
    future: Vec<HistoryStep<T, B>>,
    /// Name and starting value of an interaction that has not ended, e.g. a slider being dragged.
    open: Option<HistoryStep<T, B>>,
}

#[derive(Clone, Debug)]
struct HistoryStep<T, B> {
    name: String,
    /// The value on the other side of this step.
    value: T,
    /// What was beside it there.
    beside: Option<B>,
}

/// Steps kept before the oldest is forgotten.
const LIMIT: usize = 200;

impl<T: Clone + PartialEq, B> History<T, B> {
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
            self.open = Some(HistoryStep { name: name.to_owned(), value: self.now.clone(), beside: None });
        }
        change(&mut self.now);
    }

    /// Changes the value without a step, for what follows from elsewhere (a new analysis under a threshold).
    pub fn follow(&mut self, change: impl FnOnce(&mut T)) {
        change(&mut self.now);
    }

    /// Makes a step of what followed from elsewhere: the value was `before`, and `beside` it stood what another took the
    /// place of. What an earlier such step held is let go of, and that step can no longer be taken back by itself.
    pub fn note(&mut self, name: impl Into<String>, before: T, beside: B) {
        self.finish();
        self.future.clear();
        self.past.retain(|step| step.beside.is_none());
        self.add(HistoryStep { name: name.into(), value: before, beside: Some(beside) });
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

    /// Takes the last step back and names it; `exchange` swaps what it holds beside the value for what stands there now.
    pub fn undo(&mut self, exchange: &mut dyn FnMut(&mut B)) -> Option<String> {
        self.finish();
        let step = self.past.pop()?;
        let name = step.name.clone();
        let step = self.cross(step, exchange);
        self.future.push(step);
        Some(name)
    }

    /// Does the last undone step again and names it; `exchange` as for [`History::undo`].
    pub fn redo(&mut self, exchange: &mut dyn FnMut(&mut B)) -> Option<String> {
        self.finish();
        let step = self.future.pop()?;
        let name = step.name.clone();
        let step = self.cross(step, exchange);
        self.past.push(step);
        Some(name)
    }

    /// The value becomes that on the other side of `step`; the step as it is seen from there.
    fn cross(&mut self, step: HistoryStep<T, B>, exchange: &mut dyn FnMut(&mut B)) -> HistoryStep<T, B> {
        let HistoryStep { name, value, mut beside } = step;
        if let Some(beside) = &mut beside {
            exchange(beside);
        }
        HistoryStep { name, value: std::mem::replace(&mut self.now, value), beside }
    }

    fn push(&mut self, name: String, before: T) {
        if before == self.now {
            return;
        }
        self.future.clear();
        self.add(HistoryStep { name, value: before, beside: None });
    }

    fn add(&mut self, step: HistoryStep<T, B>) {
        self.past.push(step);
        if self.past.len() > LIMIT {
            self.past.remove(0);
        }
    }

    /// Lets go of everything that is held beside values, and of steps that cannot be taken or done again without it.
    fn forget_beside(&mut self) {
        self.past.retain(|step| step.beside.is_none());
        if self.future.iter().any(|step| step.beside.is_some()) {
            self.future.clear();
        }
    }
}

/// The histories of workspaces that were closed, by what names them, the latest last.
#[derive(Clone, Debug)]
pub struct ClosedHistories<T, B = ()> {
    held: Vec<(String, History<T, B>)>,
}

/// Workspaces whose histories are held before that of the oldest is forgotten.
const HELD: usize = 8;

impl<T, B> Default for ClosedHistories<T, B> {
    fn default() -> Self {
        Self { held: Vec::new() }
    }
}

impl<T: Clone + PartialEq, B> ClosedHistories<T, B> {
    /// Holds the history of a workspace that is closed, without what stood beside its value.
    pub fn hold(&mut self, name: &str, mut history: History<T, B>) {
        history.finish();
        history.forget_beside();
        self.held.retain(|(held, _)| held != name);
        self.held.push((name.to_owned(), history));
        if self.held.len() > HELD {
            self.held.remove(0);
        }
    }

    /// The history of a workspace that is opened and stands at `now`: the one that was held, where it ended there, else one
    /// that begins here.
    pub fn reopen(&mut self, name: &str, now: T) -> History<T, B> {
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
        assert_eq!(history.undo(&mut |()| ()).as_deref(), Some("add ten"));
        assert_eq!((*history.now(), history.redo_name()), (2, Some("add ten")));
        assert_eq!(history.redo(&mut |()| ()).as_deref(), Some("add ten"));
        assert_eq!(*history.now(), 12);
        history.undo(&mut |()| ());
        history.edit("negate", |v| *v = -*v);
        assert_eq!((*history.now(), history.redo(&mut |()| ())), (-2, None));
        assert_eq!(
            [history.undo(&mut |()| ()), history.undo(&mut |()| ()), history.undo(&mut |()| ())]
                .iter()
                .flatten()
                .count(),
            2
        );
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
        assert_eq!(history.undo(&mut |()| ()).as_deref(), Some("drag"));
        assert_eq!(*history.now(), 5);
        history.undo(&mut |()| ());
        assert_eq!((*history.now(), history.undo(&mut |()| ())), (0, None));
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
        assert_eq!(other.undo(&mut |()| ()), None);
        let mut again = closed.reopen("a", 3);
        assert_eq!(
            (again.undo(&mut |()| ()).as_deref(), again.undo(&mut |()| ()).as_deref(), *again.now()),
            (Some("drag"), Some("double"), 1)
        );
        // Something else wrote the workspace meanwhile.
        closed.hold("a", history());
        assert_eq!(closed.reopen("a", 7).undo(&mut |()| ()), None);
        for name in 0..HELD {
            closed.hold(&name.to_string(), history());
        }
        assert_eq!(closed.reopen("a", 3).undo(&mut |()| ()), None, "the oldest is forgotten");
    }

    #[test]
    fn a_step_brings_back_what_stood_beside_the_value_and_the_last_alone_is_held() {
        let (mut history, mut beside) = (History::new(1), "first");
        let run = |history: &mut History<i32, &'static str>, beside: &mut &'static str, next| {
            history.note("run", *history.now(), std::mem::replace(beside, next));
        };
        history.edit("double", |v| *v *= 2);
        run(&mut history, &mut beside, "second");
        history.edit("add ten", |v| *v += 10);
        assert_eq!((history.undo(&mut |_| panic!("no run")).as_deref(), beside), (Some("add ten"), "second"));
        let mut exchange = |held: &mut &'static str| std::mem::swap(held, &mut beside);
        assert_eq!(history.undo(&mut exchange).as_deref(), Some("run"));
        assert_eq!((history.redo(&mut exchange).as_deref(), history.undo_name()), (Some("run"), Some("run")));
        assert_eq!(history.undo(&mut exchange).as_deref(), Some("run"));
        assert_eq!((beside, *history.now()), ("first", 2));
        // Of two such steps the last is held.
        run(&mut history, &mut beside, "third");
        run(&mut history, &mut beside, "fourth");
        let mut exchange = |held: &mut &'static str| std::mem::swap(held, &mut beside);
        let names = [history.undo(&mut exchange), history.undo(&mut exchange), history.undo(&mut exchange)];
        assert_eq!(names.map(|name| name.unwrap_or_default()), ["run", "double", ""]);
        assert_eq!((beside, *history.now()), ("third", 1));
        // A closed history holds none of it.
        let mut closed = ClosedHistories::default();
        closed.hold("a", history);
        assert_eq!(closed.reopen("a", 1).redo_name(), None);
    }

    #[test]
    fn memory_is_bounded() {
        let mut history = History::new(0);
        for _ in 0..LIMIT + 50 {
            history.edit("count", |v| *v += 1);
        }
        assert_eq!(std::iter::from_fn(|| history.undo(&mut |()| ())).count(), LIMIT);
        assert_eq!(*history.now(), 50);
    }
}
