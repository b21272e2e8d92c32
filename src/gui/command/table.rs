//! Words and keys of every command.

use eframe::egui::{Key, KeyboardShortcut, Modifiers};

use super::kinds::{Command, CommandSpec, Menu};
use crate::workspace::ThemeChoice;

impl Command {
    pub fn spec(self) -> CommandSpec {
        spec(self)
    }
}

/// The row of a command.
fn spec(command: Command) -> CommandSpec {
    use Menu::{Edit, File, Help, Run, View};
    let (menu, text, tooltip, keys) = match command {
        Command::OpenModel => {
            (File, "Open model…", "Choose a folder with config.json and model.safetensors", vec![ctrl(Key::O)])
        }
        Command::OpenFile => {
            (File, "Open file…", "Choose a workspace, a plan or an analysis that was saved", vec![ctrl_shift(Key::O)])
        }
        Command::OpenCached => (
            File,
            "Open downloaded model…",
            "Choose from the models in the hub's cache, by their names",
            vec![ctrl_shift(Key::L)],
        ),
        Command::TypePath => (
            File,
            "Open path…",
            "Type the path of a model folder, a workspace, a plan or an analysis",
            vec![ctrl(Key::L)],
        ),
        Command::OpenSample => {
            (File, "Open the bundled sample", "A small BERT trained on chemical reactions, with text to read", none())
        }
        Command::ChooseInput => {
            (File, "Choose input…", "A file that the model reads: text, tokens, tensors or pairs", vec![ctrl(Key::I)])
        }
        Command::TypeInput => (File, "Input path…", "Type the path of what the model reads", vec![ctrl_shift(Key::I)]),
        Command::ChooseImages => (File, "Choose images…", "A folder of PNG and JPEG files for a vision model", none()),
        Command::SaveWorkspace => (
            File,
            "Save workspace",
            "One file with the location of the model, the results and the plans",
            vec![ctrl(Key::S)],
        ),
        Command::SaveWorkspaceAs => {
            (File, "Save workspace as…", "The same under another name", vec![ctrl_shift(Key::S)])
        }
        Command::SavePlan => {
            (File, "Save plan…", "Which heads stay, as a file for the command line or for others", none())
        }
        Command::SaveAnalysis => {
            (File, "Save analysis…", "The results of the last run, as a file for the command line", none())
        }
        Command::SavePicture => (File, "Save picture…", "The view in front as SVG, PNG or CSV", vec![ctrl(Key::P)]),
        Command::StartAfresh => {
            (File, "Start afresh", "Forget the results, plans and notes of this model; the model stays open", none())
        }
        Command::CloseModel => (File, "Close model", "Back to the welcome screen", vec![ctrl(Key::W)]),
        Command::Quit => (File, "Quit", "Close the window; the workspace is kept", vec![ctrl(Key::Q)]),
        Command::Undo => (Edit, "Undo", "Take back the last change of the plan, or the last run", vec![ctrl(Key::Z)]),
        Command::Redo => (Edit, "Redo", "Repeat the change that was undone", vec![ctrl_shift(Key::Z), ctrl(Key::Y)]),
        Command::NewPlan => (Edit, "New plan", "A plan that keeps every head", vec![ctrl(Key::N)]),
        Command::DuplicatePlan => (Edit, "Duplicate plan", "A copy to change", vec![ctrl(Key::D)]),
        Command::DeletePlan => (Edit, "Delete plan", "Undo brings it back", none()),
        Command::KeepHeads => (Edit, "Keep selected heads", "Pin the selected heads as kept", vec![key(Key::K)]),
        Command::PruneHeads => {
            (Edit, "Prune selected heads", "Pin the selected heads as pruned", vec![key(Key::X), key(Key::Delete)])
        }
        Command::FlipHeads => {
            (Edit, "Flip selected heads", "Keep those that are pruned, prune those that are kept", vec![key(Key::F)])
        }
        Command::PinHeads => (
            Edit,
            "Pin selected heads",
            "Leave them as they are when the method or its amount changes",
            vec![key(Key::P)],
        ),
        Command::PinAlignment => {
            (Edit, "Pin alignment heads", "Keep the heads by which Whisper tells when a word was said", none())
        }
        Command::UnpinHeads => {
            (Edit, "Unpin selected heads", "Let the method decide about them again", vec![key(Key::U)])
        }
        Command::UnpinAll => (Edit, "Unpin every head", "Leave the whole plan to the method", none()),
        Command::SelectAll => (Edit, "Select all heads", "Every head of the model", vec![ctrl(Key::A)]),
        Command::SelectSite => {
            (Edit, "Select the layer", "Every head of the layer that is shown", vec![ctrl_shift(Key::A)])
        }
        Command::ClearSelection => (Edit, "Clear the selection", "Select nothing", vec![key(Key::Escape)]),
        Command::Run => (
            Run,
            "Run",
            "Read the input, group the heads of every layer, let them vote",
            vec![ctrl(Key::R), key(Key::F5)],
        ),
        Command::Estimate => {
            (Run, "Estimate the run", "How much the run reads and how long it takes, told from a few batches", none())
        }
        Command::Measure => (
            Run,
            "Measure quality",
            "Measure the plan beside the whole model and random heads",
            vec![ctrl(Key::M), key(Key::F6)],
        ),
        Command::MeasureCurves => (
            Run,
            "Measure the quality curve",
            "Measure every method beside random heads, from all heads down to a quarter",
            vec![ctrl_shift(Key::M)],
        ),
        Command::Repair => (
            Run,
            "Repair the plan",
            "Compute new output projections, with which the kept heads make up for the removed ones",
            none(),
        ),
        Command::FindPlan => (
            Run,
            "Find the smallest plan",
            "Find the fewest heads, chosen by the plan's method, that keep quality within the budget in Prune",
            none(),
        ),
        Command::AskBatches => (
            Run,
            "Ask every batch",
            "Let every batch of the run choose by reconstruction by itself, and tell how many keep the heads of the plan",
            none(),
        ),
        Command::WithoutEvidence => (
            Edit,
            "Prune layers without evidence",
            "Prune also the layers in which nothing speaks for redundancy, or leave them alone again",
            none(),
        ),
        Command::CompareWith => {
            (Run, "Compare with…", "Another analysis beside these results, or another model on the same input", none())
        }
        Command::Export => (
            Run,
            "Export pruned model…",
            "Write the smaller checkpoint, reopen it and compare it with the masked model",
            vec![ctrl(Key::E)],
        ),
        Command::Train => (
            Run,
            "Train…",
            "Train with the group constraint, vote, remove heads and fine-tune, in a folder of its own",
            none(),
        ),
        Command::PauseTraining => (Run, "Pause training", "Pause after the current step, or resume", none()),
        Command::StopTraining => {
            (Run, "Stop training", "Stop after the current step and save the state; the run can be resumed", none())
        }
        Command::VoteNow => (Run, "Vote now", "End constrained training after the current step and vote", none()),
        Command::Cancel => (Run, "Cancel", "Stop what is running at its next safe point", vec![ctrl(Key::Period)]),
        Command::Show(view) => (View, view.title(), view.tooltip(), vec![ctrl(view.key())]),
        Command::NextView => {
            (View, "Next view", "Bring the next tab of the row to the front", vec![ctrl(Key::Tab), ctrl(Key::PageDown)])
        }
        Command::PreviousView => (
            View,
            "Previous view",
            "Bring the previous tab of the row to the front",
            vec![ctrl_shift(Key::Tab), ctrl(Key::PageUp)],
        ),
        Command::NextPane => (
            View,
            "Go to the next pane",
            "Give the keyboard to the view in the next pane, or to the one view there is",
            vec![ctrl(Key::F6)],
        ),
        Command::ToggleTable => (
            View,
            "Picture or table",
            "Show the numbers of the view in front in place of its picture",
            vec![ctrl(Key::T)],
        ),
        Command::SplitRight => {
            (View, "Split right", "Put the view in front beside the others", vec![ctrl(Key::Backslash)])
        }
        Command::SplitDown => {
            (View, "Split down", "Put the view in front below the others", vec![ctrl_shift(Key::Backslash)])
        }
        Command::MoveView => {
            (View, "Move to the next pane", "Put the view in front among the tabs of the next pane", none())
        }
        Command::NextSite => (View, "Next layer", "Show the next attention layer", vec![key(Key::CloseBracket)]),
        Command::PreviousSite => {
            (View, "Previous layer", "Show the previous attention layer", vec![key(Key::OpenBracket)])
        }
        Command::ToggleModel => (View, "Model panel", "Show or hide the panel on the left", vec![ctrl(Key::B)]),
        Command::ToggleInspector => {
            (View, "Inspector", "Show or hide the panel on the right", vec![ctrl_shift(Key::B)])
        }
        Command::ToggleTasks => {
            (View, "Tasks and messages", "Show or hide the panel at the bottom", vec![ctrl(Key::J)])
        }
        Command::ResetLayout => (View, "Reset the layout", "All views in one row of tabs, all panels open", none()),
        Command::Theme(ThemeChoice::System) => (View, "System theme", "Light or dark, as the desktop is", none()),
        Command::Theme(ThemeChoice::Light) => (View, "Light theme", "Dark on light", none()),
        Command::Theme(ThemeChoice::Dark) => (View, "Dark theme", "Light on dark", none()),
        Command::ZoomIn => {
            (View, "Zoom in", "Everything larger, up to 300 %", vec![ctrl(Key::Plus), ctrl(Key::Equals)])
        }
        Command::ZoomOut => (View, "Zoom out", "Everything smaller, down to 50 %", vec![ctrl(Key::Minus)]),
        Command::ZoomReset => (View, "Actual size", "Zoom 100 %", vec![ctrl(Key::Num0)]),
        Command::Palette => (
            Help,
            "Command palette…",
            "Find commands, layers, heads, colors, plans and recent models",
            vec![ctrl_shift(Key::P), ctrl(Key::K)],
        ),
        Command::Guide => (Help, "First steps", "Show or hide the steps from a model to a smaller one", none()),
        Command::Shortcuts => (Help, "Keyboard shortcuts", "Every command with its keys", vec![key(Key::F1)]),
        Command::About => (Help, "About Pillars", "Version, license, method", none()),
        Command::CopyMessages => (Help, "Copy all messages", "Copy the messages to the clipboard", none()),
        Command::ClearMessages => (Help, "Clear messages", "Remove all messages", none()),
    };
    CommandSpec { menu, text, tooltip, keys }
}

fn ctrl(key: Key) -> KeyboardShortcut {
    KeyboardShortcut::new(Modifiers::COMMAND, key)
}

fn ctrl_shift(key: Key) -> KeyboardShortcut {
    KeyboardShortcut::new(Modifiers::COMMAND.plus(Modifiers::SHIFT), key)
}

fn key(key: Key) -> KeyboardShortcut {
    KeyboardShortcut::new(Modifiers::NONE, key)
}

fn none() -> Vec<KeyboardShortcut> {
    Vec::new()
}
