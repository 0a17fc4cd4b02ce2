# isolation.tcl MODE SECONDS - many clients on the same rows of a real cluster.
#   lost   read, add one in the client, write, from all nodes: no update is lost, and somebody was wounded (40001)
#   skew   two rows of which one must stay on: no write skew, and somebody was wounded
#   stale  the leader is stopped (SIGSTOP) for longer than its lease while others write: what it says when it wakes, to
#          requests that waited in its sockets, is not stale
source [file join [file dirname [info script]] .. harness cluster.tcl]
source [file join [file dirname [info script]] campaign.tcl]

lassign $argv mode seconds
set lease_ms 2000

proc run_clients {mode readers writers seconds} {
    return [open "|[list $::env(CHAOS_BIN)/chaos_isolation $mode $readers $writers $seconds 2>@1]" r]
}

proc finish_clients {chan mode} {
    set out [read $chan]
    set failed [catch {close $chan}]
    puts [string trim $out]
    campaign::expect "no anomaly of kind $mode" {!$failed}
    if {![regexp {reads=(\d+) writes=(\d+) retries=(\d+)} $out -> reads writes retries]} {
        campaign::expect "the clients reported" 0
        return {0 0 0}
    }
    campaign::expect "the clients did something" {$writes > 0}
    return [list $reads $writes $retries]
}

campaign::run {
    cluster::create
    cluster::start
    set node [cluster::wait_writable]
    cluster::sql $node {CREATE TABLE iso_register (id INT PRIMARY KEY, n BIGINT NOT NULL)}
    cluster::sql $node "INSERT INTO iso_register VALUES (1, [expr {$mode eq "skew"}]), (2, [expr {$mode eq "skew"}])"
    if {$mode eq "stale"} {
        set end [expr {[clock milliseconds] + $seconds * 1000}]
        # Half of the readers ask the node that will be stopped.
        set leader [cluster::wait_leader]
        set rest [lsearch -all -inline -not [cluster::nodes] $leader]
        set chan [run_clients stale [cluster::hosts [concat $leader $leader $leader $rest]] [cluster::hosts $rest] $seconds]
        set stops 0
        while {[clock milliseconds] < $end - 4 * $lease_ms} {
            after 500
            set leader [cluster::wait_leader]
            cluster::signal $leader STOP
            after [expr {$lease_ms + $lease_ms / 2}]
            cluster::signal $leader CONT
            incr stops
        }
        lassign [finish_clients $chan stale] reads writes
        puts "the leader was stopped $stops times"
        campaign::expect "the leader was stopped, and reads were answered" {$stops > 0 && $reads > 0}
    } else {
        set chan [run_clients $mode [cluster::hosts] - $seconds]
        lassign [finish_clients $chan $mode] reads writes retries
        campaign::expect "some transactions were wounded" {$retries > 0}
    }
    campaign::check_replicas
}
