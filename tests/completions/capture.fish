# Prints what Tab offers at the end of each line of the input.

semactl completion fish | source
source $COMPLETIONS/semad.fish

if set -q REPORTING
    function fish_prompt
        echo 'ready> '
    end
    # Writes the arguments that a line came to.
    function semactl
        string join '' "["$argv"]" >> $CAPTURED
        echo 'end of the offers' >> $CAPTURED
    end
    return
end

while read -l line
    complete -C $line | string replace -r '\t.*' ''
    echo 'end of the offers'
end
