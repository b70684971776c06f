//! What the command line leaves open is taken from the environment and the settings file.

use crate::access_arguments::AccessArguments;
use crate::arguments::{Command, MapArguments};
use crate::chosen_portal::{choose, choose_for_login};
use crate::inputs::is_url;
use crate::settings::{self, Settings};
use crate::stop::Stop;
use std::path::{Path, PathBuf};

/// Fills the options of a command; those that it was given stay.
pub(crate) fn settle(command: &mut Command, file: Option<&Path>) -> Result<(), Stop> {
    if !asks_somebody(command) {
        return Ok(());
    }
    let settings = settings::read(file)?;
    match command {
        Command::Take(take) => {
            settings.fill_run(&mut take.run);
            of_map(&mut take.map, &mut take.access, &settings)
        }
        Command::Check(ask) => of_map(&mut ask.map, &mut ask.access, &settings),
        Command::Plan(plan) => of_map(&mut plan.ask.map, &mut plan.ask.access, &settings),
        Command::Resume(resume) => {
            settings.fill_run(&mut resume.run);
            let is_elsewhere = resume.web_map.as_deref().is_some_and(is_url);
            of_access(&mut resume.access, None, is_elsewhere, &settings)
        }
        Command::Fetch(fetch) => {
            settings.fill_fetch(&mut fetch.keep, &mut fetch.time_limit, &mut fetch.progress);
            of_access(&mut fetch.access, None, true, &settings)
        }
        Command::Clean(clean) => of_access(&mut clean.access, None, false, &settings),
        Command::Login(login) => {
            settings.fill_login(login);
            of_login(&mut login.portal, &mut login.ca_cert, &settings)
        }
        Command::Logout(logout) => of_login(&mut logout.portal, &mut logout.ca_cert, &settings),
        Command::Whoami(whoami) => of_login(&mut whoami.portal, &mut whoami.ca_cert, &settings),
        // They ask nobody.
        _ => Ok(()),
    }
}

fn of_login(portal: &mut Option<String>, ca_cert: &mut Option<PathBuf>, settings: &Settings) -> Result<(), Stop> {
    settings.fill_ca_cert(ca_cert);
    choose_for_login(portal, settings);
    Ok(())
}

/// Whether a command asks a portal or services.
fn asks_somebody(command: &Command) -> bool {
    use Command as C;
    !matches!(command, C::Verify(_) | C::Show(_) | C::Convert(_) | C::Jobs(_) | C::Status(_) | C::Completions(_) | C::Man(_))
}

fn of_map(map: &mut MapArguments, access: &mut AccessArguments, settings: &Settings) -> Result<(), Stop> {
    settings.fill_map(map);
    let is_elsewhere = map.web_map.as_deref().is_some_and(is_url);
    of_access(access, map.item.as_mut(), is_elsewhere, settings)
}

fn of_access(
    access: &mut AccessArguments,
    item: Option<&mut String>,
    is_elsewhere: bool,
    settings: &Settings,
) -> Result<(), Stop> {
    let from_file = settings.fill_access(access);
    choose(access, item, is_elsewhere, settings, from_file)
}
