#!/bin/sh
# Tests the pages in a real browser, on a fleet of its own: run.sh BIN MODEL SHOTS [page_test.py arguments].
# BIN holds csm-gateway and csm-worker. PYTHON has the packages of requirements.txt; Chromium is Debian's.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
bin=$(cd "$1" && pwd) model=$(cd "$2" && pwd) shots=$3
shift 3
work=$(mktemp -d)
mkdir "$work/store" "$work/redis"
trap 'kill $(cat "$work"/*.pid) 2>/dev/null || true; rm -rf "$work"' EXIT INT TERM
free_port() {
    "${PYTHON:-python3}" -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}
port=$(free_port) redis=$(free_port) admin=$(free_port) worker_admin=$(free_port)
export CSM_REDIS_URL="redis://127.0.0.1:$redis" CSM_MODEL="$model" CSM_DEVELOPMENT_WATERMARK=true CSM_DEVICE=cpu \
    CSM_STORE="folder:$work/store" CSM_LISTEN="127.0.0.1:$port" CSM_ADMIN_TOKEN=the-token-of-this-test
ready() {
    for _ in $(seq 600); do
        curl -sf "127.0.0.1:$1/readyz" >/dev/null && return 0
        sleep 0.1
    done
    echo "nothing is ready on port $1" >&2
    tail -n 5 "$work"/*.log >&2
    return 1
}
redis-server --port "$redis" --dir "$work/redis" --save '' --appendonly no >"$work/redis.log" 2>&1 &
echo $! >"$work/redis.pid"
cat >"$work/gateway.sh" <<EOF
#!/bin/sh
# Kills the gateway, if it runs, and starts it again.
if [ -e "$work/gateway.pid" ]; then
    kill -9 "\$(cat "$work/gateway.pid")"
    for _ in \$(seq 100); do kill -0 "\$(cat "$work/gateway.pid")" 2>/dev/null || break; sleep 0.1; done
fi
"$bin/csm-gateway" --admin-listen 127.0.0.1:$admin >>"$work/gateway.log" 2>&1 &
echo \$! >"$work/gateway.pid"
for _ in \$(seq 600); do curl -sf 127.0.0.1:$admin/readyz >/dev/null && exit 0; sleep 0.1; done
exit 1
EOF
chmod +x "$work/gateway.sh"
"$work/gateway.sh"
"$bin/csm-worker" --admin-listen "127.0.0.1:$worker_admin" --threads 1 >"$work/worker.log" 2>&1 &
echo $! >"$work/worker.pid"
ready "$worker_admin"
for test in page_test.py admin_test.py; do
    "${PYTHON:-python3}" "$here/$test" "http://127.0.0.1:$port" --restart "$work/gateway.sh" --shots "$shots" "$@"
done
