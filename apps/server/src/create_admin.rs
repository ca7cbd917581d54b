//! `alivio create-admin`: the first account of an installation, which can make the others.

use std::io::{BufRead, Write};

use alivio_accounts::{Email, Error, Identity, NewAdministrator, NewPassword};
use alivio_kernel::BoxError;
use alivio_kernel::text::{self, Lines};

use crate::assembly::with_platform;
use crate::config::Config;

/// No name is longer.
const MAX_NAME: usize = 200;

/// Who the administrator is.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Where mail goes, and the name to sign in with
    #[arg(long)]
    email: String,
    /// The full name
    #[arg(long)]
    full_name: String,
    /// Take the password from the first line of the input, instead of making one up
    #[arg(long)]
    password_stdin: bool,
    /// Make another one even if there is an active one
    #[arg(long)]
    force: bool,
}

/// Makes the account, and prints its password if that was made up.
pub(crate) async fn create_admin(config: &Config, options: Options) -> Result<(), BoxError> {
    let full_name = text::parse("full_name", &options.full_name, MAX_NAME, Lines::Single)?;
    let identity =
        Identity { email: Email::parse(&options.email)?, display_name: full_name.clone(), full_name };
    let password = if options.password_stdin { Some(read_password(&identity.email)?) } else { None };
    let new = NewAdministrator { identity, password, force: options.force };
    let (id, password) = with_platform(config, async |platform| {
        platform.administration.create_administrator(new).await.map_err(|error| match error {
            Error::AdministratorExists => {
                "there is an active it_admin; sign in as them, or add --force".into()
            }
            Error::EmailTaken => "that e-mail address already has an account".into(),
            error => BoxError::from(error),
        })
    })
    .await?;
    let mut out = std::io::stdout().lock();
    writeln!(out, "it_admin {id} made")?;
    if let Some(password) = password {
        writeln!(
            out,
            "password, shown only now and to be changed at the first sign-in:\n{}",
            password.expose()
        )?;
    }
    Ok(())
}

fn read_password(email: &Email) -> Result<NewPassword, BoxError> {
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line)?;
    let line = line.trim_end_matches(['\r', '\n']).to_owned();
    let password = NewPassword::parse("password", line)?;
    password.apart_from("password", email)?;
    Ok(password)
}
