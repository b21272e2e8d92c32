//! Every listed action: its words, its keys, and whether it can be done now. The menu, the palette and the keyboard
//! read this table and nothing else.
//!
//! | module | job |
//! | --- | --- |
//! | `kinds` | the commands in the order of the menus |
//! | `table` | words and keys |
//! | `enabled` | whether one can be carried out, and how it reads, as things stand |

mod enabled;
mod kinds;
mod table;

use eframe::egui::{self, KeyboardShortcut};

pub(super) use kinds::{Command, Menu};

/// Keys as a person reads them on the caps.
pub(super) fn caps(ctx: &egui::Context, keys: &KeyboardShortcut) -> String {
    let text = ctx.format_shortcut(keys);
    let names =
        [("OpenBracket", "["), ("CloseBracket", "]"), ("Backslash", "\\"), ("Period", "."), ("PageUp", "Page Up")];
    let names = names.into_iter().chain([("PageDown", "Page Down"), ("Plus", "+"), ("Minus", "-"), ("Equals", "=")]);
    let found = names.into_iter().find(|(name, _)| text.ends_with(name));
    found.map_or_else(|| text.clone(), |(name, cap)| format!("{}{cap}", text.trim_end_matches(name)))
}

/// Every command with each of its keys, in the order in which they are to be looked at.
pub(super) fn by_keys() -> Vec<(KeyboardShortcut, Command)> {
    let mut all: Vec<_> =
        Command::all().into_iter().flat_map(|c| c.spec().keys.into_iter().map(move |k| (k, c))).collect();
    // Keys match where Shift is held beside what they name, so those that name it come first.
    all.sort_by_key(|(keys, _)| !keys.modifiers.shift);
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use eframe::egui::{Key, Modifiers};
    use std::collections::{HashMap, HashSet};
    use strum::IntoEnumIterator;

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
    fn keys_read_as_on_the_caps() {
        let ctx = egui::Context::default();
        let read = |command: Command| caps(&ctx, &command.spec().keys[0]);
        assert_eq!(read(Command::SplitDown).rsplit('+').next(), Some("\\"));
        assert_eq!([read(Command::NextSite), read(Command::Run)].map(|k| k.chars().last()), [Some(']'), Some('R')]);
    }

    #[test]
    fn no_keys_hide_behind_keys_with_fewer_modifiers() {
        // Keys match where Shift or Alt is held beside what they name, so the longer ones have to be looked at first.
        let ordered = by_keys();
        for (place, (keys, command)) in ordered.iter().enumerate() {
            for (earlier, other) in &ordered[..place] {
                let hides =
                    earlier.logical_key == keys.logical_key && keys.modifiers.matches_logically(earlier.modifiers);
                assert!(!hides, "{other:?} takes the keys of {command:?}");
            }
        }
    }

    #[test]
    fn every_command_is_listed_once_with_words_of_its_own() {
        let all = Command::all();
        assert_eq!(all.len(), all.iter().collect::<HashSet<_>>().len());
        // Menus and palette read the sections; of commands with a choice one stands for all.
        for command in Command::iter() {
            assert!(all.contains(&command), "{command:?} stands in no menu");
        }
        let texts: HashSet<_> = all.iter().map(|c| c.spec().text).collect();
        assert_eq!(texts.len(), all.len());
        for command in all {
            let spec = command.spec();
            assert!(spec.text.starts_with(char::is_uppercase) && !spec.text.ends_with('.'), "{}", spec.text);
            assert!(!spec.tooltip.is_empty() && !spec.tooltip.ends_with('.'), "{}", spec.tooltip);
        }
        for section in Command::sections() {
            assert!(section.windows(2).all(|pair| pair[0].spec().menu == pair[1].spec().menu), "{section:?}");
        }
    }
}
