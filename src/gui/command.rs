//! Every listed action: its words, its keys, and whether it can be done now. The menu, the palette and the keyboard
//! read this table and nothing else.

use eframe::egui::{Key, KeyboardShortcut, Modifiers};

use super::State;
use super::jobs::JobKind;
use super::views::View;
use crate::workspace::{ThemeChoice, sample};

/// An action that needs no more than its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "the table in `Command::spec` says what each one does")]
pub enum Command {
    OpenModel,
    TypePath,
    OpenSample,
    CloseModel,
    Quit,
    Undo,
    Redo,
    KeepHeads,
    PruneHeads,
    FlipHeads,
    PinHeads,
    UnpinHeads,
    SelectAll,
    SelectSite,
    ClearSelection,
    NextSite,
    PreviousSite,
    Cancel,
    Palette,
    Shortcuts,
    Show(View),
    ResetLayout,
    ToggleModel,
    ToggleInspector,
    ToggleTasks,
    Theme(ThemeChoice),
    ZoomIn,
    ZoomOut,
    ZoomReset,
    CopyMessages,
    ClearMessages,
}

/// The menu a command stands in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Menu {
    /// Opening, saving, leaving.
    File,
    /// The plan and the selection.
    Edit,
    /// Work on the model.
    Run,
    /// What is shown.
    View,
    /// Finding one's way.
    Help,
}

impl Menu {
    /// Every menu, from left to right.
    pub const ALL: [Self; 5] = [Self::File, Self::Edit, Self::Run, Self::View, Self::Help];

    /// The word in the menu bar.
    pub fn title(self) -> &'static str {
        match self {
            Self::File => "File",
            Self::Edit => "Edit",
            Self::Run => "Run",
            Self::View => "View",
            Self::Help => "Help",
        }
    }
}

/// What a command is called and how it is reached.
pub struct Spec {
    /// Menu it stands in.
    pub menu: Menu,
    /// Words in the menu and the palette.
    pub text: String,
    /// A longer explanation.
    pub tooltip: &'static str,
    /// Keys; the first is shown.
    pub keys: Vec<KeyboardShortcut>,
    /// True where a line stands above it in the menu.
    pub begins_section: bool,
}

const CTRL: Modifiers = Modifiers::COMMAND;
const CTRL_SHIFT: Modifiers = Modifiers::COMMAND.plus(Modifiers::SHIFT);

impl Command {
    /// Every command, in the order of the menus.
    pub fn all() -> Vec<Self> {
        let mut all = vec![
            Self::OpenModel,
            Self::TypePath,
            Self::OpenSample,
            Self::CloseModel,
            Self::Quit,
            Self::Undo,
            Self::Redo,
            Self::KeepHeads,
            Self::PruneHeads,
            Self::FlipHeads,
            Self::PinHeads,
            Self::UnpinHeads,
            Self::SelectAll,
            Self::SelectSite,
            Self::ClearSelection,
            Self::Cancel,
        ];
        all.extend(View::ALL.map(Self::Show));
        all.extend([Self::NextSite, Self::PreviousSite, Self::ResetLayout]);
        all.extend([Self::ToggleModel, Self::ToggleInspector, Self::ToggleTasks]);
        all.extend([ThemeChoice::System, ThemeChoice::Light, ThemeChoice::Dark].map(Self::Theme));
        all.extend([Self::ZoomIn, Self::ZoomOut, Self::ZoomReset]);
        all.extend([Self::Palette, Self::Shortcuts, Self::CopyMessages, Self::ClearMessages]);
        all
    }

    /// Words and keys.
    pub fn spec(self) -> Spec {
        let (menu, text, tooltip): (_, &str, _) = match self {
            Self::OpenModel => (Menu::File, "Open model…", "Choose a folder with config.json and model.safetensors"),
            Self::TypePath => (Menu::File, "Open path…", "Type or paste the path of a model folder or a workspace"),
            Self::OpenSample => (Menu::File, "Open the bundled sample", "A small BERT of chemical reactions with text"),
            Self::CloseModel => (Menu::File, "Close model", "Back to the welcome screen"),
            Self::Quit => (Menu::File, "Quit", "Close the window; the workspace is kept"),
            Self::Undo => (Menu::Edit, "Undo", "Take back the last change of the plan"),
            Self::Redo => (Menu::Edit, "Redo", "Do the undone change again"),
            Self::KeepHeads => (Menu::Edit, "Keep selected heads", "Fix the selected heads to stay"),
            Self::PruneHeads => (Menu::Edit, "Prune selected heads", "Fix the selected heads to go"),
            Self::FlipHeads => (Menu::Edit, "Flip selected heads", "Keep what would go, prune what would stay"),
            Self::PinHeads => (Menu::Edit, "Pin selected heads", "Hold them as they are when a threshold moves"),
            Self::UnpinHeads => (Menu::Edit, "Unpin selected heads", "Let the method decide about them again"),
            Self::SelectAll => (Menu::Edit, "Select all heads", "Every head of the model"),
            Self::SelectSite => (Menu::Edit, "Select the layer", "Every head of the layer that is shown"),
            Self::ClearSelection => (Menu::Edit, "Clear the selection", "Select nothing"),
            Self::Cancel => (Menu::Run, "Cancel", "Stop the work under way at its next safe point"),
            Self::Show(view) => (Menu::View, view.title(), view.tooltip()),
            Self::NextSite => (Menu::View, "Next layer", "Show the next attention layer"),
            Self::PreviousSite => (Menu::View, "Previous layer", "Show the attention layer before"),
            Self::ResetLayout => (Menu::View, "Reset the layout", "All views in one row of tabs, all panels open"),
            Self::ToggleModel => (Menu::View, "Model panel", "Show or hide the panel on the left"),
            Self::ToggleInspector => (Menu::View, "Inspector", "Show or hide the panel on the right"),
            Self::ToggleTasks => (Menu::View, "Tasks and messages", "Show or hide the panel at the bottom"),
            Self::Theme(ThemeChoice::System) => (Menu::View, "Theme of the system", "Light or dark as the desktop is"),
            Self::Theme(ThemeChoice::Light) => (Menu::View, "Light theme", "Dark on light"),
            Self::Theme(ThemeChoice::Dark) => (Menu::View, "Dark theme", "Light on dark"),
            Self::ZoomIn => (Menu::View, "Zoom in", "Everything larger, up to 300 %"),
            Self::ZoomOut => (Menu::View, "Zoom out", "Everything smaller, down to 50 %"),
            Self::ZoomReset => (Menu::View, "Actual size", "Zoom 100 %"),
            Self::Palette => (Menu::Help, "Command palette…", "Find any command by its name"),
            Self::Shortcuts => (Menu::Help, "Keyboard shortcuts", "Every command with its keys"),
            Self::CopyMessages => (Menu::Help, "Copy all messages", "Put the messages into the clipboard"),
            Self::ClearMessages => (Menu::Help, "Clear messages", "Forget the messages"),
        };
        Spec { menu, text: text.to_owned(), tooltip, keys: self.keys(), begins_section: self.begins_section() }
    }

    fn keys(self) -> Vec<KeyboardShortcut> {
        let key = KeyboardShortcut::new;
        match self {
            Self::OpenModel => vec![key(CTRL, Key::O)],
            Self::TypePath => vec![key(CTRL, Key::L)],
            Self::CloseModel => vec![key(CTRL, Key::W)],
            Self::Quit => vec![key(CTRL, Key::Q)],
            Self::Undo => vec![key(CTRL, Key::Z)],
            Self::Redo => vec![key(CTRL_SHIFT, Key::Z), key(CTRL, Key::Y)],
            Self::KeepHeads => vec![key(Modifiers::NONE, Key::K)],
            Self::PruneHeads => vec![key(Modifiers::NONE, Key::X), key(Modifiers::NONE, Key::Delete)],
            Self::FlipHeads => vec![key(Modifiers::NONE, Key::F)],
            Self::PinHeads => vec![key(Modifiers::NONE, Key::P)],
            Self::UnpinHeads => vec![key(Modifiers::NONE, Key::U)],
            Self::SelectAll => vec![key(CTRL, Key::A)],
            Self::SelectSite => vec![key(CTRL_SHIFT, Key::A)],
            Self::ClearSelection => vec![key(Modifiers::NONE, Key::Escape)],
            Self::Cancel => vec![key(CTRL, Key::Period)],
            Self::Show(view) => vec![key(CTRL, view.key())],
            Self::NextSite => vec![key(Modifiers::NONE, Key::CloseBracket)],
            Self::PreviousSite => vec![key(Modifiers::NONE, Key::OpenBracket)],
            Self::ToggleModel => vec![key(CTRL, Key::B)],
            Self::ToggleInspector => vec![key(CTRL_SHIFT, Key::B)],
            Self::ToggleTasks => vec![key(CTRL, Key::J)],
            Self::ZoomIn => vec![key(CTRL, Key::Plus), key(CTRL, Key::Equals)],
            Self::ZoomOut => vec![key(CTRL, Key::Minus)],
            Self::ZoomReset => vec![key(CTRL, Key::Num0)],
            Self::Palette => vec![key(CTRL_SHIFT, Key::P), key(CTRL, Key::K)],
            Self::Shortcuts => vec![key(Modifiers::NONE, Key::F1)],
            Self::OpenSample | Self::ResetLayout | Self::Theme(_) | Self::CopyMessages | Self::ClearMessages => {
                Vec::new()
            }
        }
    }

    fn begins_section(self) -> bool {
        matches!(
            self,
            Self::CloseModel
                | Self::Quit
                | Self::KeepHeads
                | Self::SelectAll
                | Self::NextSite
                | Self::ToggleModel
                | Self::Theme(ThemeChoice::System)
                | Self::ZoomIn
                | Self::CopyMessages
        )
    }

    /// Words for the menu as things stand: undo and redo say what they would change.
    pub fn text_now(self, state: &State) -> String {
        let text = self.spec().text;
        let name = match self {
            Self::Undo => state.draft.undo_name(),
            Self::Redo => state.draft.redo_name(),
            _ => None,
        };
        name.map_or(text.clone(), |name| format!("{text}: {name}"))
    }

    /// Whether a mark stands before it in the menu.
    pub fn is_on(self, state: &State) -> Option<bool> {
        match self {
            Self::ToggleModel => Some(state.settings.show_model),
            Self::ToggleInspector => Some(state.settings.show_inspector),
            Self::ToggleTasks => Some(state.settings.show_tasks),
            Self::Theme(choice) => Some(state.settings.theme == choice),
            _ => None,
        }
    }

    /// `Err` says why it cannot be done now.
    pub fn enabled(self, state: &State) -> Result<(), &'static str> {
        let model = || if state.model.is_some() { Ok(()) } else { Err("open a model first") };
        let heads = || {
            model()?;
            if state.selection.heads.is_empty() { Err("select heads first") } else { Ok(()) }
        };
        match self {
            Self::OpenModel if state.jobs.get(JobKind::Dialog).is_some() => Err("a dialog is open already"),
            Self::OpenSample if sample().is_none() => Err("the sample is not installed beside the program"),
            Self::Undo if state.draft.undo_name().is_none() => Err("there is nothing to undo"),
            Self::Redo if state.draft.redo_name().is_none() => Err("there is nothing to redo"),
            Self::KeepHeads | Self::PruneHeads | Self::FlipHeads | Self::PinHeads | Self::UnpinHeads => heads(),
            Self::CloseModel | Self::SelectAll | Self::SelectSite | Self::NextSite | Self::PreviousSite => model(),
            Self::Show(_) => model(),
            Self::Cancel if state.jobs.shown().next().is_none() => Err("nothing is under way"),
            Self::CopyMessages | Self::ClearMessages if state.messages.all().is_empty() => Err("there are none"),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::{HashMap, HashSet};

    #[test]
    fn no_two_commands_share_a_key() {
        let mut taken: HashMap<(Modifiers, Key), Command> = HashMap::new();
        for command in Command::all() {
            for keys in command.spec().keys {
                let other = taken.insert((keys.modifiers, keys.logical_key), command);
                assert!(other.is_none(), "{command:?} and {other:?} share {keys:?}");
            }
        }
    }

    #[test]
    fn every_command_is_listed_once_with_words_of_its_own() {
        let all = Command::all();
        assert_eq!(all.len(), all.iter().collect::<HashSet<_>>().len());
        let texts: HashSet<_> = all.iter().map(|c| c.spec().text).collect();
        assert_eq!(texts.len(), all.len());
        for command in all {
            let spec = command.spec();
            assert!(spec.text.starts_with(char::is_uppercase) && !spec.text.ends_with('.'), "{}", spec.text);
            assert!(!spec.tooltip.is_empty() && !spec.tooltip.ends_with('.'), "{}", spec.tooltip);
        }
    }
}
