//! The attribute of tests that run on both databases.

use proc_macro::{Delimiter, Group, TokenStream, TokenTree};

/// Runs an async function as two tests, `name::sqlite` and `name::postgres`, each with its own database.
///
/// A function that takes an `Arc<Test>` gets a running server. `options` are its command-line options:
/// `#[both(options = ["--max-sessions", "2"])]`. A function that takes a `Backend` starts whatever it needs.
///
/// `#[both(long)]` tests run only when asked for, see `make help`.
#[proc_macro_attribute]
pub fn both(arguments: TokenStream, function: TokenStream) -> TokenStream {
    expand(arguments, function)
        .unwrap_or_else(|error| format!("compile_error!({error:?});").parse().unwrap_or_default())
}

fn expand(arguments: TokenStream, function: TokenStream) -> Result<TokenStream, String> {
    let Arguments { is_long, options } = Arguments::read(arguments)?;
    let (name, parameters) = signature(&function)?;
    let ignore = if is_long { "#[ignore = \"takes long: see `make help`\"]" } else { "" };
    let test = |backend: &str| {
        let backend = format!("::tenantry_testing::Backend::{backend}");
        if parameters.contains("Backend") {
            format!("super::{name}({backend}).await;")
        } else {
            format!("::tenantry_testing::run({backend}, &{options}, super::{name}).await;")
        }
    };
    let tests: TokenStream = format!(
        "mod {name} {{
            #[allow(unused_imports)]
            use super::*;

            #[tokio::test(flavor = \"multi_thread\", worker_threads = 2)]
            {ignore}
            async fn sqlite() {{ {sqlite} }}

            #[tokio::test(flavor = \"multi_thread\", worker_threads = 2)]
            {ignore}
            async fn postgres() {{ {postgres} }}
        }}",
        sqlite = test("Sqlite"),
        postgres = test("Postgres"),
    )
    .parse()
    .map_err(|_| "the tests could not be generated")?;
    Ok(function.into_iter().chain(tests).collect())
}

/// The arguments of the attribute.
struct Arguments {
    is_long: bool,
    /// An array of strings.
    options: String,
}

impl Arguments {
    fn read(arguments: TokenStream) -> Result<Self, String> {
        let mut read = Self { is_long: false, options: "[]".to_owned() };
        let mut tokens = arguments.into_iter();
        while let Some(token) = tokens.next() {
            match (token.to_string().as_str(), tokens.next()) {
                ("long", None) => read.is_long = true,
                ("options", Some(TokenTree::Punct(equals))) if equals.as_char() == '=' => match tokens.next() {
                    Some(TokenTree::Group(options)) if options.delimiter() == Delimiter::Bracket => {
                        read.options = options.to_string();
                    }
                    _ => return Err("`options` is an array of strings".to_owned()),
                },
                _ => return Err("expected `long` or `options = [..]`".to_owned()),
            }
        }
        Ok(read)
    }
}

/// The name and the parameters of a function.
fn signature(function: &TokenStream) -> Result<(String, String), String> {
    let mut tokens = function.clone().into_iter().skip_while(|token| token.to_string() != "fn").skip(1);
    let name = tokens.next().map(|name| name.to_string());
    let parameters = tokens.find_map(|token| match token {
        TokenTree::Group(group) if group.delimiter() == Delimiter::Parenthesis => Some(group),
        _ => None,
    });
    let parameters = parameters.as_ref().map(Group::to_string);
    name.zip(parameters).ok_or_else(|| "expected an async function".to_owned())
}
