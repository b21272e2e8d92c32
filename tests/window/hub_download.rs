//! *Download* in the window, from a hub that stands on this machine.

use std::process::Command;

use eframe::egui::accesskit::Role;
use egui_kittest::kittest::Queryable;

use crate::desk::Desk;
use crate::hub_server::{Manner, Server};

/// The hub is named by a variable, which belongs to a whole process: the window runs in one of its own.
#[test]
fn a_model_that_is_named_is_downloaded_and_opens() {
    let server = Server::of_bert();
    server.treat("model.safetensors", Manner { breaks: vec![5000], ..Manner::default() });
    let window = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "hub_download::presses", "--ignored"])
        .env("HF_ENDPOINT", &server.address)
        .env("HF_HUB_CACHE", server.cache.root())
        .env_remove("HF_TOKEN")
        .output()
        .unwrap();
    assert!(window.status.success(), "{}", String::from_utf8_lossy(&window.stdout));
    assert!(server.asked_for("model.safetensors").iter().any(|seen| seen.range.as_deref() == Some("bytes=5000-")));
}

#[test]
#[ignore = "the window that a_model_that_is_named_is_downloaded_and_opens starts"]
fn presses() {
    let mut desk = Desk::start(None);
    desk.command("Open downloaded");
    desk.settle();
    desk.harness.get_by_role_and_label(Role::TextInput, "Name").focus();
    desk.harness.run();
    desk.type_text("owner/model");
    desk.click("Download");
    desk.settle();
    assert!(desk.messages().contains("Downloaded owner/model"), "{}", desk.messages());
    let listed = desk.state().cached.as_ref().unwrap().as_ref().unwrap();
    assert!(listed.iter().any(|model| model.name == "owner/model" && model.missing.is_none()));
    desk.click("owner/model");
    desk.settle();
    assert!(desk.state().model.is_some(), "{}", desk.messages());
}
