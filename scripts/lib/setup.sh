# Sourced by quickstart.sh and test.sh: finds out what is lacking, installs it on Debian, builds.
#
# A package is lacking when what it brings is not found (pkg-config knows no such library, no such tool on PATH, no such
# file), never because dpkg does not list it. So a machine that has everything from elsewhere needs no root, no network
# and no Debian.

lacking=()  # packages without which nothing goes on
optional=() # packages that are asked for along with the others, but may stay away

need_library() { # need_library PKG-CONFIG-NAME PACKAGE
    pkg-config --exists "$1" 2>/dev/null || lacking+=("$2")
}

need_tool() { # need_tool COMMAND PACKAGE...
    command -v "$1" >/dev/null || lacking+=("${@:2}")
}

need_file() { # need_file PATH PACKAGE
    [ -e "$1" ] || lacking+=("$2")
}

want_tool() { # want_tool COMMAND PACKAGE
    command -v "$1" >/dev/null || optional+=("$2")
}

need_build() { # what meson.build asks for
    need_tool cc gcc libc6-dev
    need_tool pkg-config pkg-config
    need_tool meson meson
    need_tool ninja ninja-build
    need_library yaml-0.1 libyaml-dev
    need_library jansson libjansson-dev
    need_library libxxhash libxxhash-dev
    need_library libzstd libzstd-dev
    need_library zlib zlib1g-dev
    need_library cmocka libcmocka-dev
}

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi
}

# A fresh machine may just be updating itself: waits for its lock. Lists that cannot be renewed may still do.
apt_install() {
    as_root apt-get update -q </dev/null || echo "going on with the package lists that there are" >&2
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends \
        -o DPkg::Lock::Timeout=300 "$@" </dev/null
}

install_lacking() {
    [ $((${#lacking[@]} + ${#optional[@]})) -gt 0 ] || return 0
    if ! command -v apt-get >/dev/null || { [ "$(id -u)" != 0 ] && ! command -v sudo >/dev/null; }; then
        [ ${#lacking[@]} -gt 0 ] || return 0
        echo "missing: ${lacking[*]} (Debian's package names)" >&2
        echo "they can only be installed here by hand: this needs apt-get, and root or sudo" >&2
        return 1
    fi
    echo "installing: ${lacking[*]} ${optional[*]}"
    apt_install "${lacking[@]}" "${optional[@]}" && return 0
    [ ${#lacking[@]} -gt 0 ] || { echo "going on without: ${optional[*]}"; return 0; }
    echo "could not install: ${lacking[*]}" >&2
    return 1
}

build_in() { # build_in FOLDER [MESON OPTION...]; CUDA is built in where nvcc is found
    [ -f "$1/build.ninja" ] || meson setup "$@" </dev/null || return
    meson compile -C "$1" </dev/null
}

built_with_cuda() { # built_with_cuda FOLDER: has the program in it, once built, the CUDA back end?
    case $("$1/src/dyttrain" doctor) in *'not in this binary'*) return 1 ;; esac
}
