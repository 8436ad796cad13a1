# Completion of within(1) for fish.

# The number of operands so far. The second one is COMMAND.
function __within_operands
    set -l words (commandline -opc)[2..]
    set -l operands 0
    while set -q words[1]
        switch $words[1]
            case -s -k --signal --kill-after --tree --backend
                set -e words[1]
            case '-*'
            case '*'
                set operands (math $operands + 1)
        end
        set -e words[1]
    end
    echo $operands
end

set -l options 'test (__within_operands) -lt 2'
set -l signals "(string replace -r '^SIG' '' (kill -l | string split ' '))"
complete -c within -f
complete -c within -n $options -s s -l signal -x -a $signals -d 'Signal to send first'
complete -c within -n $options -s k -l kill-after -x -d 'How long after the first signal to send KILL'
complete -c within -n $options -s f -l foreground -d 'Run it in the process group of within'
complete -c within -n $options -s p -l preserve-status -d 'Exit with the status of the command, even on a timeout'
complete -c within -n $options -s v -l verbose -d 'Report each signal that is sent'
complete -c within -n $options -l tree -x -a 'child group all' -d 'What to stop'
complete -c within -n $options -l die-with-parent -d 'Stop it even if within itself is killed'
complete -c within -n $options -l usage -d 'Report the time and memory it took'
complete -c within -n $options -l backend -x -a 'asyncio uvloop trio none' -d 'Event loop to run on'
complete -c within -n $options -l help -d 'Print the options'
complete -c within -n $options -l version -d 'Print the version'
complete -c within -n 'test (__within_operands) -ge 1' -x -a '(__fish_complete_subcommand --fcs-skip=2 -s -k --signal --kill-after --tree --backend)'
