# slt.tcl RUNNER ROOT FILE ... - runs sqllogictest files over the PostgreSQL port of a three-node cluster.
# Passes only if the runner says that every record of every file passed, and that there were some.
source [file join [file dirname [info script]] .. harness cluster.tcl]

set files [lassign $argv runner root]
set failed 1
if {[catch {
    cluster::create
    cluster::start
    set node [cluster::wait_writable]
    set failed [catch {
        exec $runner -c "host=127.0.0.1 port=[cluster::pg $node] user=test dbname=meridian" --clean=drop -p 1 \
            --root=$root --exclude=$root.exclude {*}[lmap f $files {file join $root $f}] 2>@1
    } out]
    puts $out
    if {![regexp {queries ([0-9]+)/\1 } $out -> n] || $n == 0} {
        set failed 1
    }
} message]} {
    puts "error: $message"
}
cluster::destroy -keep $failed
exit $failed
