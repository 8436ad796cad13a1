# Completion of within(1) for bash.

_within() {
    local word=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]}
    local options="-s --signal= -k --kill-after= -f --foreground -p --preserve-status
        -v --verbose --tree= --die-with-parent --usage --backend= --help --version"
    local place seen=0
    COMPREPLY=()
    # bash makes "=" a separate word.
    if [[ $word == "=" ]]; then
        word=
    elif [[ $previous == "=" ]]; then
        previous=${COMP_WORDS[COMP_CWORD - 2]}
    fi
    for ((place = 1; place < COMP_CWORD; place++)); do
        case ${COMP_WORDS[place]} in
            --) ;;
            -s | -k | --signal | --kill-after | --tree | --backend)
                [[ ${COMP_WORDS[place + 1]} == "=" ]] && ((place++))
                ((place++))
                ;;
            -*) ;;
            *) ((seen++)) ;;
        esac
        if ((seen == 2)); then # everything from COMMAND on belongs to it
            declare -F _command_offset > /dev/null && _command_offset "$place"
            return
        fi
    done
    case $previous in
        -s | --signal)
            COMPREPLY=($(compgen -A signal -- "SIG${word#SIG}"))
            COMPREPLY=("${COMPREPLY[@]#SIG}")
            ;;
        --tree) COMPREPLY=($(compgen -W "child group all" -- "$word")) ;;
        --backend) COMPREPLY=($(compgen -W "asyncio uvloop trio none" -- "$word")) ;;
        -k | --kill-after) ;;
        *)
            if [[ $word == -* ]]; then
                COMPREPLY=($(compgen -W "$options" -- "$word"))
                [[ ${COMPREPLY[0]-} == *= ]] && compopt -o nospace 2> /dev/null
            elif ((seen == 1)); then
                COMPREPLY=($(compgen -c -- "$word"))
            fi
            ;;
    esac
}

complete -F _within within
