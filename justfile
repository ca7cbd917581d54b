# Everything one does here, in one place. `just` alone lists it.
#
# Needs `just`, cargo, and PostgreSQL's programs (14 or newer). What else a recipe needs, `.ci/tools` installs once.

# In CI the committed Cargo.lock decides; at home cargo may complete it after a change of Cargo.toml.
locked := if env("CI", "") == "" { "" } else { "--locked" }

# List the recipes
default:
    @just --list --unsorted

# Run the server with its demo clinic on http://127.0.0.1:8080
[group("every day")]
dev *ARGS:
    cargo run {{ locked }} -- {{ ARGS }}

# Format the code
[group("every day")]
fmt:
    cargo fmt --all

# Run all tests
[group("every day")]
test *ARGS:
    cargo test --workspace {{ locked }} {{ ARGS }}

# Everything that must hold before a commit, except the tests
[group("every day")]
check: check-fmt check-clippy check-docs check-deny check-openapi check-architecture

# Is the code formatted?
[group("checks")]
check-fmt:
    cargo fmt --all --check

# Is clippy silent, also without what only tests switch on? (our bans are in clippy.toml)
[group("checks")]
check-clippy:
    cargo clippy --workspace --all-targets {{ locked }} -- -D warnings
    cargo clippy -p alivio-server {{ locked }} -- -D warnings

# Is rustdoc silent?
[group("checks")]
check-docs:
    RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps {{ locked }}

# Are all dependencies allowed? (deny.toml: bans, licences, sources)
[group("checks")]
check-deny:
    "$(.ci/tools cargo-deny)" --workspace {{ locked }} check --hide-inclusion-graph bans licenses sources

# Are the committed API documents those that the code writes?
[group("checks")]
check-openapi:
    .ci/openapi check

# Do the crates keep to the house's directions?
[group("checks")]
check-architecture:
    cargo test --workspace --test architecture {{ locked }}

# Are there known weaknesses in our dependencies? (fetches the advisory database, which CI cannot reach)
[group("checks")]
advisories:
    "$(.ci/tools cargo-deny)" --workspace check advisories

# Write openapi/openapi.json, openapi/dialects.json and openapi/asyncapi.json anew
[group("API document")]
openapi:
    .ci/openapi write

# Is the API document valid OpenAPI?
[group("API document")]
openapi-validate:
    "$(.ci/tools venv)/openapi-spec-validator" openapi/openapi.json

# Send thousands of generated requests to a server of its own; it must keep to its document
[group("API document")]
fuzz-api:
    .ci/schemathesis

# Bring the database up to date (DATABASE_URL, or the one in ALIVIO_DATA_DIR)
[group("running it")]
migrate:
    cargo run {{ locked }} -- migrate

# Measure a release build, e.g. `just bench --help`
[group("running it")]
bench *FLAGS:
    cargo run --release -p alivio-bench {{ locked }} -- {{ FLAGS }}

# What CI does, from installing its tools to the last request
[group("running it")]
ci:
    .ci/run

# Rounds of seven minutes in which servers, Redis, PostgreSQL and all ways between them break, and nothing may be lost; prints its seeds
[group("checks")]
soak ROUNDS="6" SEED="1":
    for round in $(seq {{ ROUNDS }}); do \
        CHAOS_SECONDS=420 CHAOS_SEED=$(({{ SEED }} + round - 1)) \
            cargo test -p alivio-server --test chaos {{ locked }} -- --nocapture || exit 1; \
    done
