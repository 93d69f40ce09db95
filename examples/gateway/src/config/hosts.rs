//! Where a provider is, and what it takes to reach it there.

use std::{fs, path::Path, path::PathBuf, sync::Arc};

use tollgate_core::Secret;
use tollgate_upstream::{AwsKeys, GoogleAccount, Hosting, InvalidAccount, Place, Preset};

use super::{Wrong, file, keys::unset};
use crate::upstreams::{Signing, Way};

/// The keys that only one kind of host knows.
fn for_one_host(provider: &file::Provider) -> [(&'static str, Hosting, bool); 8] {
    [
        ("api_version", Hosting::Azure, provider.api_version.is_some()),
        ("project", Hosting::Vertex, provider.project.is_some()),
        ("location", Hosting::Vertex, provider.location.is_some()),
        ("credentials", Hosting::Vertex, provider.credentials.is_some()),
        ("region", Hosting::Bedrock, provider.region.is_some()),
        ("access_key_id", Hosting::Bedrock, provider.access_key_id.is_some()),
        ("secret_access_key", Hosting::Bedrock, provider.secret_access_key.is_some()),
        ("session_token", Hosting::Bedrock, provider.session_token.is_some()),
    ]
}

/// Returns what the table, else the environment, says of where the provider is.
pub(super) fn place(
    path: &str,
    preset: &Preset,
    provider: &file::Provider,
) -> Result<Place, Wrong> {
    let misplaced = for_one_host(provider);
    let misplaced = misplaced.iter().find(|(_, host, given)| *given && *host != preset.hosting);
    if let Some((key, ..)) = misplaced {
        let message = format!("has no meaning for `{}`", preset.name);
        return Err(Wrong::new(format!("{path}.{key}"), message));
    }
    let said = |key: &str, text: &Option<file::Text>, variables: &[&str]| {
        let path = format!("{path}.{key}");
        let own = text.as_ref().map(|text| resolved(&path, text)).transpose()?;
        Ok::<_, Wrong>(own.or_else(|| set(variables)).map(Arc::<str>::from))
    };
    let usual = |hosting| preset.hosting == hosting;
    let (project, location, region): (&[_], &[_], &[_]) = (
        if usual(Hosting::Vertex) { &["GOOGLE_CLOUD_PROJECT"] } else { &[] },
        if usual(Hosting::Vertex) { &["GOOGLE_CLOUD_LOCATION"] } else { &[] },
        if usual(Hosting::Bedrock) { &["AWS_REGION", "AWS_DEFAULT_REGION"] } else { &[] },
    );
    Ok(Place {
        api_version: said("api_version", &provider.api_version, &[])?,
        project: said("project", &provider.project, project)?,
        location: said("location", &provider.location, location)?,
        region: said("region", &provider.region, region)?,
    })
}

/// Returns what requests to the provider are signed with; `None` where a key is shown.
pub(super) fn signing(
    path: &str,
    preset: &Preset,
    provider: &file::Provider,
    place: &Place,
) -> Result<Option<Signing>, Wrong> {
    match preset.hosting {
        Hosting::Vertex => {
            let account = google(path, provider.credentials.as_ref())?;
            Ok(Some(Signing::Google(account)))
        }
        Hosting::Bedrock => {
            let keys = aws(path, provider)?;
            let region = place.region.clone().unwrap_or_default();
            Ok(Some(Signing::Bedrock { keys, region }))
        }
        _ => Ok(None),
    }
}

/// The account of the table, else the one Google's own libraries would find.
fn google(path: &str, credentials: Option<&file::Text>) -> Result<GoogleAccount, Wrong> {
    let path = format!("{path}.credentials");
    let wrong = |error: InvalidAccount| Wrong::new(path.clone(), error.to_string());
    let Some(text) = credentials else { return GoogleAccount::from_env().map_err(wrong) };
    match resolved(&path, text)?.trim() {
        "metadata" => Ok(GoogleAccount::metadata()),
        json if json.starts_with('{') => GoogleAccount::from_json(json).map_err(wrong),
        file => GoogleAccount::from_file(Path::new(file)).map_err(wrong),
    }
}

/// The keys of the table, else those of the environment.
fn aws(path: &str, provider: &file::Provider) -> Result<AwsKeys, Wrong> {
    let text = |key: &str, text: &Option<file::Text>| {
        let path = format!("{path}.{key}");
        text.as_ref().map(|text| resolved(&path, text)).transpose()
    };
    let id = text("access_key_id", &provider.access_key_id)?;
    let secret = text("secret_access_key", &provider.secret_access_key)?;
    let token = text("session_token", &provider.session_token)?;
    let missing = |key: &str, message| Err(Wrong::new(format!("{path}.{key}"), message));
    match (id, secret) {
        (Some(id), Some(secret)) => {
            let keys = AwsKeys::new(id, Secret::new(secret));
            Ok(AwsKeys { session_token: token.map(Secret::new), ..keys })
        }
        (Some(_), None) => missing("secret_access_key", "is missing".to_owned()),
        (None, Some(_)) => missing("access_key_id", "is missing".to_owned()),
        (None, None) => AwsKeys::from_env().map_or_else(
            || {
                let variables = "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are not set";
                missing("access_key_id", format!("is missing, and {variables}"))
            },
            Ok,
        ),
    }
}

/// Returns how the provider is reached; `usual` is what is said of all of them.
pub(super) fn way(
    path: &str,
    provider: &file::Provider,
    signing: Option<Signing>,
    usual: &file::Deadlines,
) -> Result<Way, Wrong> {
    let mut way =
        Way::default().connect(provider.deadlines.connect.or(usual.connect)).signing(signing);
    if let Some(url) = &provider.proxy {
        let path = format!("{path}.proxy");
        let url = resolved(&path, url)?;
        // The URL may hold a password: it is not repeated.
        way =
            way.proxy(&url).map_err(|error| Wrong::new(path, format!("is {error}, nor `none`")))?;
    }
    if let Some(file) = &provider.ca {
        let wrong =
            |why: String| Wrong::new(format!("{path}.ca"), format!("{}: {why}", file.display()));
        let pem = fs::read_to_string(file).map_err(|e| wrong(format!("cannot be read: {e}")))?;
        way = way.authorities(&pem).map_err(|error| wrong(error.to_string()))?;
    }
    Ok(way)
}

/// The files a provider's table names, which are read with it.
pub(super) fn files(provider: &file::Provider) -> Vec<PathBuf> {
    let credentials = provider.credentials.as_ref().and_then(|text| text.resolve().ok());
    let credentials = credentials.filter(|text| text != "metadata" && !text.starts_with('{'));
    credentials.map(PathBuf::from).into_iter().chain(provider.ca.clone()).collect()
}

/// The text, looked up where it says so.
pub(super) fn resolved(path: &str, text: &file::Text) -> Result<String, Wrong> {
    text.resolve().map_err(|name| unset(path, &name))
}

fn set(variables: &[&str]) -> Option<String> {
    let mut set = variables.iter().filter_map(|name| std::env::var(name).ok());
    set.find(|value| !value.is_empty())
}
