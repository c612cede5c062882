#!/bin/sh
# Stands in for the programs that the README calls and that need a cluster, an account or a registry. Each call is
# written to $STAND_INS/calls. What can be done without them is done: kustomizations are rendered by the real kubectl,
# the agent's own commands are run against a real agent, and the words must be ones that the real kubectl knows.
set -eu
program=${0##*/}
printf '%s%s' "${RUSTFLAGS:+RUSTFLAGS=$RUSTFLAGS }" "$program $*" | tr '\n' ' ' >>"$STAND_INS/calls"
echo >>"$STAND_INS/calls"

fail() {
    echo "$program: $*" >&2
    exit 64
}

known_to_kubectl() {
    verb=$1
    shift
    help=$("$REAL_KUBECTL" "$verb" --help; "$REAL_KUBECTL" options) || fail "no such command: $verb"
    for word in "$@"; do
        case $word in
        --) break ;;
        --*) printf '%s' "$help" | grep -q -e "${word%%=*}[=: ]" || fail "no such flag: $word" ;;
        esac
    done
}

kubectl() {
    [ "$1" != -n ] || shift 2
    known_to_kubectl "$@"
    case "$*" in
    "apply -k "* | "delete -k "*) "$REAL_KUBECTL" kustomize "$3" >"$STAND_INS/rendered-$1" ;;
    "apply -f -") cat >"$STAND_INS/applied.yaml" ;;
    "exec "*" -- /kube2iam "*)
        shift 4
        "$KUBE2IAM" "$@" "--socket=$CONTROL_SOCKET" | tee -a "$STAND_INS/said"
        ;;
    "get pod "*jsonpath*) printf node-1 ;;
    "get pod "*"-o name") echo pod/kube2iam-abcde ;;
    "create namespace "* | "rollout status "* | "wait "* | "logs "*) ;;
    *) fail "nothing stands in for: $*" ;;
    esac
}

case $program in
kubectl) kubectl "$@" ;;
aws)
    for word in "$@"; do
        case $word in file://*) cp "${word#file://}" "$STAND_INS/" ;; esac
    done
    ;;
docker)
    [ "$1" != build ] || [ -f "$3" ] || fail "no such file: $3"
    ;;
cargo | helm) ;;
*) fail "nothing stands in for it" ;;
esac
