# clock.tcl - what the clock tests share: lies, histories, and waiting for what a node thinks of clocks.
# Needs harness/cluster.tcl; nodes are started with --time-fault %r/fault.%n. Environment: CLOCK_BIN.
#
#   clock::lie NODE ?offset=US? ?rate=PPM? ?bound=US? ?void?    bends a clock; no words: the truth. Notes the window
#   clock::record CLIENTS ?SEED? ?PAUSE_US?                     starts clients that keep a history
#   clock::judge ?BOUND_US?                                     ends them; the verdict as a dict, violations printed
#   clock::mono                                                 monotonic ns, the clock of histories
#   clock::wait_distrusted NODE MS LIES, clock::wait_trusted NODE MS      how long it took, ms
#   clock::seen BY NODE                                                   its clock as another node knows it
#   clock::metric NODE NAME, clock::group NODE, clock::time NODE          what the node says

namespace eval clock {
    variable s
    array set s {chan "" files {} lies {} seq 0}
    variable flags {--time-fault %r/fault.%n}
    # Comparisons with the machine's clock: a fixed source follows it every 250 ms, and it may be slewed meanwhile.
    variable tolerance_us 500
}

proc clock::mono {} {
    return [lindex [exec $::env(CLOCK_BIN)/clock_history now] 0]
}

proc clock::wall {} {
    return [lindex [exec $::env(CLOCK_BIN)/clock_history now] 1]
}

# A lie opens a window of that node in the history; distrust closes it, or the truth.
proc clock::lie {node args} {
    variable s
    set before [mono]
    set stood [exec $::env(CLOCK_BIN)/clock_lie [cluster::root]/fault.$node {*}$args]
    if {$args eq ""} {
        close_window $node
    } elseif {![info exists s(begin,$node)]} {
        set s(begin,$node) $before
    }
    return $stood
}

# The grace lets answers that were made under the lie arrive.
proc clock::close_window {node} {
    variable s
    if {[info exists s(begin,$node)]} {
        window $node $s(begin,$node) [expr {[mono] + 100000000}]
        unset s(begin,$node)
    }
}

proc clock::window {node begin end} {
    variable s
    lappend s(lies) "F [cluster::pg $node] $begin $end lie"
}

proc clock::record {clients {seed 1} {pause_us 2000}} {
    variable s
    set s(lies) {}
    exec $::env(CLOCK_BIN)/clock_history prepare [cluster::hosts] 2>@stderr
    set s(file) [cluster::root]/history[incr s(seq)].txt
    set s(chan) [open "|[list $::env(CLOCK_BIN)/clock_history record [cluster::hosts] $clients $seed $pause_us >$s(file) 2>$s(file).err]" w]
}

proc clock::count_acks {} {
    variable s
    return [expr {[catch {exec grep -ac {^W.* A } $s(file)} n] ? 0 : $n}]
}

# Monotonic ns of the first write that began after AT and was acknowledged.
proc clock::first_ack_after {at ms} {
    variable s
    set first ""
    cluster::wait "an acknowledged write" $ms {
        set first [exec tail -n 5000 $s(file) | awk -v at=$at {$1 == "W" && $4 > at && $10 == "A" && !found { found = 1; print $5 }}]
        expr {$first ne ""}
    }
    return $first
}

# SQLSTATEs of the writes that ended in [from, to] and were not acknowledged: a dict of counts.
proc clock::sqlstates {{from 0} {to 9223372036854775807}} {
    variable s
    set counts {}
    set out [exec awk -v from=$from -v to=$to {$1 == "W" && $10 != "A" && $5 >= from && $5 <= to { print $13 }} $s(file)]
    foreach state [split $out \n] {
        if {$state ne ""} {
            dict incr counts $state
        }
    }
    return $counts
}

proc clock::judge {{bound_us 0}} {
    variable s
    variable tolerance_us
    foreach node [cluster::nodes] {
        if {[info exists s(begin,$node)]} {
            window $node $s(begin,$node) 0
        }
    }
    set f [open $s(file).windows w]
    foreach line $s(lies) {
        puts $f $line
    }
    close $f
    set chan $s(chan)
    set s(chan) ""
    if {[catch {close $chan} message]} {
        error "the clients: $message: [exec tail -n 3 $s(file).err]"
    }
    # The node that lied was excused while it did, and only then.
    set failed [catch {exec $::env(CLOCK_BIN)/clock_history check $bound_us $tolerance_us $s(file) $s(file).windows} out]
    set verdict {}
    foreach {- name value} [regexp -all -inline {(\w+)=(-?\d+)} [lindex [split $out \n] [expr {$failed ? "end-1" : "end"}]]] {
        dict set verdict $name $value
    }
    puts "history: $out"
    if {![dict exists $verdict violations]} {
        error "no verdict: $out"
    }
    return $verdict
}

proc clock::topic {node topic} {
    set d {}
    foreach row [cluster::sql $node "SHOW CLUSTER $topic"] {
        dict set d [lindex $row 0] [lindex $row 1]
    }
    return $d
}

proc clock::group {node} {
    return [topic $node GROUP]
}

proc clock::time {node} {
    return [topic $node TIME]
}

proc clock::metric {node name} {
    set d [topic $node METRICS]
    return [expr {[dict exists $d $name] ? [dict get $d $name] : 0}]
}

# ---- what a node thinks of its clock ----

proc clock::distrusted {node} {
    return [string match distrusted:* [dict get [time $node] why]]
}

# What node BY makes of a node's clock: ok, contradicted, distrusted, void, silent.
proc clock::seen {by node} {
    foreach row [cluster::sql $by "SHOW CLUSTER CLOCKS"] {
        if {[lindex $row 0] == $node} {
            return [lindex $row 1]
        }
    }
    return missing
}

# Milliseconds from now until the node no longer believes its clock and does not lead; WORDS are lies that take turns.
# From there on it is excused nothing.
proc clock::wait_distrusted {node ms words} {
    set begin [::clock milliseconds]
    set turn 0
    cluster::wait "node $node to distrust its clock" $ms {
        if {[llength $words] > 1} {
            after 80
            clock::lie $node {*}[lindex $words [expr {[incr turn] % [llength $words]}]]
        }
        expr {[clock::distrusted $node] && [dict get [clock::group $node] role] ne "leader"}
    }
    set took [expr {[::clock milliseconds] - $begin}]
    close_window $node
    return $took
}

proc clock::keep_lying {node words ms} {
    set end [expr {[::clock milliseconds] + $ms}]
    set turn 0
    while {[::clock milliseconds] < $end} {
        after 100
        if {[llength $words] > 1} {
            lie $node {*}[lindex $words [expr {[incr turn] % [llength $words]}]]
        }
    }
}

# Milliseconds from now until the node believes its clock again, and says that its time is not void.
proc clock::wait_trusted {node ms} {
    set begin [::clock milliseconds]
    cluster::wait "node $node to trust its clock" $ms {
        expr {![clock::distrusted $node] && [dict get [clock::time $node] bound] ne "void"}
    }
    return [expr {[::clock milliseconds] - $begin}]
}
