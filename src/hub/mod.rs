//! Models by the name that they have on the Hugging Face hub.
//!
//! | module | job |
//! | --- | --- |
//! | `name` | `OWNER/NAME@REVISION` |
//! | `cache` | what was downloaded, and what of it is whole |
//! | `download`, `listing`, `remote` | downloading: into the cache, what is needed, over HTTP (feature `hub`) |

mod cache;
#[cfg(feature = "hub")]
mod download;
#[cfg(feature = "hub")]
mod listing;
mod name;
#[cfg(feature = "hub")]
mod remote;

use std::path::{Path, PathBuf};

pub use cache::{CachedModel, HubCache};
#[cfg(feature = "hub")]
pub use download::{Downloaded, download};
pub use name::HubName;
#[cfg(feature = "hub")]
pub use remote::Hub;

use crate::checkpoint::Snapshot;

use crate::error::{Error, Result};
use crate::task::Ticket;

/// Where a model that somebody named lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Located {
    /// Its folder or file.
    pub path: PathBuf,
    /// What whoever named it should know.
    pub note: Option<String>,
}

/// What to do to have a model.
pub(crate) fn how_to_download(name: &HubName) -> String {
    if cfg!(feature = "hub") {
        format!("'pillars download {name}' fetches it")
    } else {
        format!("'hf download {}' fetches it", name.repository())
    }
}

/// Downloads a model from the user's hub into `cache`, and gives what to open.
///
/// # Errors
/// As of [`download()`].
#[cfg(feature = "hub")]
pub fn fetch(name: &HubName, cache: &HubCache, ticket: &Ticket) -> Result<PathBuf> {
    Ok(download(name, &Hub::of_user()?, cache, ticket)?.place)
}

/// Says that this build downloads nothing, and what does.
///
/// # Errors
/// Always.
#[cfg(not(feature = "hub"))]
pub fn fetch(name: &HubName, _: &HubCache, _: &Ticket) -> Result<PathBuf> {
    let hint = format!("build with --features hub, or run 'hf download {}'", name.repository());
    Err(Error::new("this build downloads nothing").hint(hint))
}

/// Where the model is that `path` names: a path, or else `OWNER/NAME@REVISION` in `cache`. A path that is neither comes back
/// as it is, for whoever opens it to say what is wrong.
///
/// # Errors
/// Where `path` is not there and names a model that the cache does not hold, or not whole.
pub fn locate(path: &Path, cache: &HubCache) -> Result<Located> {
    let name = path.to_str().and_then(|text| text.parse::<HubName>().ok());
    if path.exists() {
        if let Some(snapshot) = Snapshot::of(path).filter(|_| path.is_dir()) {
            snapshot.check_links(path)?;
        }
        let both = name.filter(HubName::has_owner).filter(|name| cache.model(name).is_ok_and(|model| model.is_some()));
        let note =
            both.map(|name| format!("'{name}' is a folder here, which is read, and not the model of the hub's cache"));
        return Ok(Located { path: path.to_path_buf(), note });
    }
    let Some(name) = name else { return Ok(Located { path: path.to_path_buf(), note: None }) };
    match cache.model(&name)? {
        Some(CachedModel { place, missing: None, is_unfinished, .. }) => {
            let what = "the download of a file was not finished; what the model needs is there";
            Ok(Located { path: place, note: is_unfinished.then(|| format!("{name}: {what}")) })
        }
        Some(CachedModel { place, missing: Some(missing), .. }) => {
            Err(Error::new(format!("{name} is not whole in the hub's cache: {missing}"))
                .at(place)
                .hint(how_to_download(&name)))
        }
        None if name.has_owner() => {
            let what = format!("no such model folder, and the hub's cache holds no '{name}'");
            Err(Error::new(what).at(cache.root()).hint(how_to_download(&name)))
        }
        None => Ok(Located { path: path.to_path_buf(), note: None }),
    }
}

/// What to call the model at `path` in a list, without a look at the disk: its name on the hub where the path leads into a
/// cache, else its last part.
pub fn short_name(path: &Path) -> String {
    let last =
        || path.file_name().map_or_else(|| path.display().to_string(), |name| name.to_string_lossy().into_owned());
    Snapshot::named_in(path).map_or_else(last, |snapshot| snapshot.name())
}

/// What to call the model in `folder` before people: its name on the hub where it lies in the hub's cache, else the path.
pub fn shown_place(folder: &Path) -> String {
    Snapshot::of(folder).map_or_else(|| folder.display().to_string(), |snapshot| snapshot.name())
}
