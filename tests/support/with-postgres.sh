#!/usr/bin/env bash
# Runs a command with TENANTRY_TEST_POSTGRES_URL set: from the environment, or to a throw-away PostgreSQL cluster that lives as
# long as the command. The server is searched for in PATH and in /usr/lib/postgresql, and installed if missing (Debian, as root).
# TENANTRY_TEST_POSTGRES_BIN names another directory.
set -euo pipefail

# Room in /dev/shm for a cluster with the databases of all tests that run at once.
MIN_SHM_KIB=$((6 * 1024 * 1024))

if [ -n "${TENANTRY_TEST_POSTGRES_URL:-}" ]; then
    exec "$@"
fi

find_server() {
    for bin in "${TENANTRY_TEST_POSTGRES_BIN:-/nonexistent}" $(command -v initdb | xargs -r dirname) \
        $(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -rV); do
        if [ -x "$bin/initdb" ] && [ -x "$bin/postgres" ] && [ -x "$bin/pg_ctl" ]; then
            echo "$bin"
            return
        fi
    done
}

bin=$(find_server)
if [ -z "$bin" ] && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "with-postgres: installing Debian's postgresql" >&2
    apt-get update -qq >&2
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends postgresql >/dev/null
    bin=$(find_server)
fi
if [ -z "$bin" ]; then
    echo "with-postgres: no PostgreSQL server found: install Debian's package postgresql, or set TENANTRY_TEST_POSTGRES_URL" >&2
    exit 1
fi

# The server refuses to run as root.
as_user=()
if [ "$(id -u)" = 0 ]; then
    user=nobody
    if id postgres >/dev/null 2>&1; then user=postgres; fi
    as_user=(setpriv --reuid="$user" --regid="$(id -gn "$user")" --clear-groups env HOME=/ PATH="$PATH")
fi

# A throw-away cluster and the files of tests are kept in memory where there is room: creating a database makes some 300 files, and the
# search of a disk's file system for free inodes took a sixth of the time of all tests. Benchmarks of a durable server use the disk.
durable=${TENANTRY_TEST_POSTGRES_DURABLE:-off}
parent=/tmp
if [ "$durable" = off ] && [ "$(df --output=avail -k /dev/shm 2>/dev/null | tail -1)" -ge "$MIN_SHM_KIB" ] 2>/dev/null; then
    parent=/dev/shm
fi
directory=$(mktemp -d "$parent/tenantry-postgres.XXXXXX")
stop() {
    "${as_user[@]}" "$bin/pg_ctl" -D "$directory/data" -m immediate -s stop >/dev/null 2>&1 || true
    rm -rf "$directory"
}
trap stop EXIT
trap 'exit 130' INT TERM
if [ "$(id -u)" = 0 ]; then chown "$user" "$directory"; fi
if [ "$parent" != /tmp ]; then
    mkdir -m 1777 "$directory/tmp"
    export TMPDIR="$directory/tmp"
fi

cd_back=$PWD
cd "$directory"
"${as_user[@]}" "$bin/initdb" -D "$directory/data" -U postgres -A trust -E UTF8 --no-sync >"$directory/initdb.log" 2>&1 ||
    { cat "$directory/initdb.log" >&2; exit 1; }
# TLS with a self-signed certificate, like Debian's server.
tls=off
if command -v openssl >/dev/null; then
    "${as_user[@]}" openssl req -x509 -newkey rsa:2048 -nodes -days 1 -subj /CN=localhost \
        -keyout "$directory/data/server.key" -out "$directory/data/server.crt" 2>/dev/null
    "${as_user[@]}" chmod 600 "$directory/data/server.key"
    tls=on
fi
for attempt in 1 2 3 4 5 6 7 8 9 10; do
    port=$((20000 + RANDOM))
    options="-p $port -k $directory -c listen_addresses=127.0.0.1 -c max_connections=300 -c ssl=$tls"
    # It need not survive a crash, so it does not wait for the disk.
    if [ "$durable" = off ]; then options="$options -c fsync=off -c full_page_writes=off"; fi
    if "${as_user[@]}" "$bin/pg_ctl" -D "$directory/data" -l "$directory/server.log" -o "$options" -w -s start 2>/dev/null; then
        break
    fi
    if [ "$attempt" = 10 ]; then
        echo "with-postgres: the throw-away PostgreSQL cluster did not start:" >&2
        cat "$directory/server.log" >&2
        exit 1
    fi
done
cd "$cd_back"

# Controls the server for fault tests.
control="$directory/control"
cat >"$control" <<END
#!/usr/bin/env bash
case "\$1" in
kill) ${as_user[*]} $bin/pg_ctl -D $directory/data -m immediate -s stop ;;
start) cd $directory && ${as_user[*]} $bin/pg_ctl -D $directory/data -l $directory/server.log -o "$options" -w -s start ;;
pause) kill -STOP "\$(head -1 $directory/data/postmaster.pid)" && pkill -STOP -P "\$(head -1 $directory/data/postmaster.pid)" ;;
resume) pkill -CONT -P "\$(head -1 $directory/data/postmaster.pid)" && kill -CONT "\$(head -1 $directory/data/postmaster.pid)" ;;
esac
END
chmod +x "$control"
export TENANTRY_TEST_POSTGRES_CONTROL="$control"

export TENANTRY_TEST_POSTGRES_URL="postgres://postgres@127.0.0.1:$port/postgres?sslmode=disable"
"$@"
