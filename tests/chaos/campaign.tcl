# campaign.tcl - what the kill and power-loss campaigns share. Needs harness/cluster.tcl.

namespace eval campaign {
    variable broken 0
    variable n_loads 0
}

# Runs BODY; whatever happens, the cluster is taken down, and kept on failure. Ends the process.
proc campaign::run {body} {
    variable broken
    if {[catch {uplevel 1 $body} message options]} {
        puts "FAILED: $message\n[dict get $options -errorinfo]"
        set broken 1
    }
    cluster::destroy -keep $broken
    puts [expr {$broken ? "campaign: BROKEN" : "campaign: every promise was kept"}]
    exit $broken
}

proc campaign::expect {what condition} {
    variable broken
    if {![uplevel 1 [list expr $condition]]} {
        puts "BROKEN: $what"
        set broken 1
    }
}

# CLOCK_MONOTONIC_RAW has no Tcl reader: the load prints it, so its clock is asked for through the load's own stamps.
proc campaign::mono_ms {} {
    set out [exec $::env(CHAOS_BIN)/chaos_load now]
    return [expr {$out / 1e6}]
}

proc campaign::schema {} {
    set node [cluster::wait_writable]
    cluster::sql $node {CREATE TABLE chaos_counter (client BIGINT PRIMARY KEY, n BIGINT NOT NULL)}
    cluster::sql $node {CREATE TABLE chaos_log (client BIGINT, n BIGINT, payload TEXT NOT NULL, PRIMARY KEY (client, n))}
}

# Returns a token: the channel to its standard input, and the file with what was acknowledged.
proc campaign::load_start {clients {first 0}} {
    variable n_loads
    set out [cluster::root]/load[incr n_loads].out
    set chan [open "|[list $::env(CHAOS_BIN)/chaos_load [cluster::hosts] $clients $first >$out 2>$out.err]" w]
    return [list $chan $out]
}

# Ends the load, which checks what it was promised; its violations are ours.
proc campaign::load_stop {load} {
    variable broken
    lassign $load chan out
    if {[catch {close $chan} message]} {
        set broken 1
        puts "BROKEN: load: $message"
        catch {puts [exec cat $out.err]}
        catch {puts [exec grep -a ^V $out]}
    }
    puts "load: [exec tail -n 1 $out] (acknowledged, resolved, retried)"
    lassign [exec tail -n 1 $out] tag acknowledged
    expect "the load did something" {$tag eq "S" && $acknowledged > 0}
}

proc campaign::count_acks {load} {
    return [expr {[catch {exec grep -ac {^[AR]} [lindex $load 1]} n] ? 0 : $n}]
}

proc campaign::wait_acks {load more} {
    set n [count_acks $load]
    cluster::wait "$more acknowledged writes" 60000 {expr {[campaign::count_acks $load] >= $n + $more}}
}

# Time (ms, the load's clock) of the first write that was acknowledged after `at`, plus a margin for answers that were
# under way at the kill: those of the first 5 ms do not count.
proc campaign::first_ack_after {load at ms} {
    set out [lindex $load 1]
    set first ""
    cluster::wait "an acknowledged write after the kill" $ms {
        set first [exec tail -n 4000 $out | awk -v at=[expr {$at + 5}] {/^[AR] / && $4 / 1e6 > at && !found { found = 1; printf "%.3f\n", $4 / 1e6 }}]
        expr {$first ne ""}
    }
    return $first
}

proc campaign::group {i} {
    set g {}
    foreach row [cluster::sql $i "SHOW CLUSTER GROUP"] {
        dict set g [lindex $row 0] [lindex $row 1]
    }
    return $g
}

# Until the node has applied what some other node has had chosen at this moment.
proc campaign::wait_caught_up {i} {
    set goal 0
    foreach j [cluster::nodes] {
        if {$j != $i && [cluster::alive $j]} {
            catch {set goal [expr {max($goal, [dict get [group $j] applied])}]}
        }
    }
    cluster::wait "node $i to apply slot $goal" 60000 {
        expr {![catch {dict get [campaign::group $i] applied} applied] && $applied >= $goal}
    }
}

# The replicas hold the same bytes: digests of everything at one timestamp, by every node.
proc campaign::check_replicas {} {
    cluster::wait_leader
    set digests {}
    cluster::wait "digests of all replicas" 60000 {
        expr {![catch {cluster::sql [lindex [cluster::nodes] 0] "SHOW CLUSTER DIGEST"} digests]}
    }
    puts "digests: $digests"
    expect "a digest of every replica" {[llength $digests] == [llength [cluster::nodes]]}
    expect "replicas hold the same bytes" {[llength [lsort -unique [lmap row $digests {lindex $row 1}]]] == 1}
}

# Ends the load and tells whether it found an acknowledged write gone; for campaigns that must find it.
proc campaign::load_lost {load} {
    lassign $load chan out
    set failed [catch {close $chan}]
    set violations [expr {[catch {exec grep -ac ^V $out} n] ? 0 : $n}]
    return [expr {$failed && $violations > 0}]
}
