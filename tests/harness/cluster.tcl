# cluster.tcl - real nodes for tests: processes that are started, killed, paused and restarted.
#
#   cluster::create ?-nodes 3? ?-flags {--lease 2s ...}? ?-time SOURCE? ?-env {NAME VALUE ...}?
#                                  ports and directories; starts nothing. In values of flags, time and env %d stands for the
#                                  node's data directory, %n for its number, %r for the directory of the whole
#                                  -namespaces 1: each node in a network namespace of its own, joined by a bridge (needs root)
#   cluster::start ?N ...?         starts nodes (all by default) and waits for their ready line
#   cluster::wait_writable ?MS?    until some node commits a write; returns the node
#   cluster::signal N SIGNAL       KILL, STOP, CONT ...; `cluster::kill N` waits until the process is gone
#   cluster::stop N                SIGTERM; returns the exit code
#   cluster::destroy ?-keep BOOL?  kills what runs and removes the directories (kept if -keep, or KEEP is set)
#   cluster::pg N / rpc N / pid N / dir N / log N / nodes / hosts / alive N
#   cluster::sql N STATEMENT       through psql: rows as a list of lists; error with {SQL <sqlstate>} in errorCode
#   cluster::complaints            what sanitizers and assertions said in the logs
#   cluster::leader                number of the node that leads, 0 if none says so
#   cluster::wait TEXT MS BODY     runs BODY until it is true; an error that says TEXT after MS
#
# One cluster per interpreter. Environment: BIN (the build's tools folder), KEEP, TEST_TMP (where directories go).

namespace eval cluster {
    variable s
    array set s {dir "" nodes {} namespaces 0}
}

proc cluster::free_ports {n} {
    set socks {}
    set ports {}
    for {set i 0} {$i < $n} {incr i} {
        set sock [socket -server {apply {args {}}} -myaddr 127.0.0.1 0]
        lappend socks $sock
        lappend ports [lindex [fconfigure $sock -sockname] 2]
    }
    foreach sock $socks {
        close $sock
    }
    return $ports
}

proc cluster::create {args} {
    variable s
    array set o {-nodes 3 -flags {} -env {} -time fixed:200us -namespaces 0}
    array set o $args
    set tmp [expr {[info exists ::env(TEST_TMP)] ? $::env(TEST_TMP) : "/var/tmp"}]
    file mkdir $tmp
    set s(dir) [exec mktemp -d $tmp/mrd-test-XXXXXX]
    set s(flags) $o(-flags)
    set s(env) $o(-env)
    set s(time) $o(-time)
    set s(nodes) {}
    set s(namespaces) $o(-namespaces)
    set ports [free_ports [expr {2 * $o(-nodes)}]]
    for {set i 1} {$i <= $o(-nodes)} {incr i} {
        lappend s(nodes) $i
        set s(pg,$i) [lindex $ports [expr {2 * $i - 2}]]
        set s(rpc,$i) [lindex $ports [expr {2 * $i - 1}]]
        set s(pid,$i) 0
        set s(chan,$i) ""
        file mkdir [dir $i]
    }
    if {$s(namespaces)} {
        make_namespaces
    }
}

# ---- a network of its own for each node: 10.77.0.N behind a bridge, which this machine holds as 10.77.0.254 ----

proc cluster::pid_tag {} { return [format %x [expr {[::pid] % 0xffffff}]] }
proc cluster::make_namespaces {} {
    variable s
    set s(bridge) mb[pid_tag]
    exec ip link add $s(bridge) type bridge
    exec ip addr add 10.77.0.254/24 dev $s(bridge)
    exec ip link set $s(bridge) up
    foreach i $s(nodes) {
        set inner mi[pid_tag]$i
        exec ip netns add [space $i]
        exec ip link add [veth $i] type veth peer name $inner
        exec ip link set $inner netns [space $i]
        exec ip link set [veth $i] master $s(bridge) up
        exec ip -n [space $i] link set lo up
        exec ip -n [space $i] link set $inner up
        exec ip -n [space $i] addr add [host $i]/24 dev $inner
    }
}

proc cluster::drop_namespaces {} {
    variable s
    foreach i $s(nodes) {
        catch {exec ip netns del [space $i]}
    }
    catch {exec ip link del $s(bridge)}
}

proc cluster::space {i} { return mrd-[pid_tag]-$i }
proc cluster::veth {i} { return mv[pid_tag]$i }

# What node I sends to node J is lost in the kernel, or no longer.
proc cluster::blackhole {i j on} {
    exec ip -n [space $i] route [expr {$on ? "add" : "del"}] blackhole [host $j]/32
}

proc cluster::dir {i} { variable s; return $s(dir)/n$i }
proc cluster::log {i} { variable s; return $s(dir)/n$i.log }
proc cluster::pg {i} { variable s; return $s(pg,$i) }
proc cluster::rpc {i} { variable s; return $s(rpc,$i) }
proc cluster::pid {i} { variable s; return $s(pid,$i) }
proc cluster::host {i} { variable s; return [expr {$s(namespaces) ? "10.77.0.$i" : "127.0.0.1"}] }
proc cluster::nodes {} { variable s; return $s(nodes) }
proc cluster::root {} { variable s; return $s(dir) }
proc cluster::hosts {{which {}}} {
    if {$which eq ""} {
        set which [nodes]
    }
    return [join [lmap i $which {string cat [host $i] : [pg $i]}] ,]
}

proc cluster::command {i} {
    variable s
    set cmd [list $::env(BIN)/meridiand/meridiand --node $i --cluster test --data [dir $i] \
        --listen-pg [host $i]:$s(pg,$i) --listen-rpc [host $i]:$s(rpc,$i) --time $s(time)]
    foreach j $s(nodes) {
        if {$j != $i} {
            lappend cmd --peer $j=[host $j]:$s(rpc,$j)
        }
    }
    return [lmap word [concat $cmd $s(flags)] {fill_in $i $word}]
}

proc cluster::fill_in {i text} {
    variable s
    return [string map [list %d [dir $i] %n $i %r $s(dir)] $text]
}

proc cluster::environment {i} {
    variable s
    set words {}
    foreach {name value} $s(env) {
        lappend words $name=[fill_in $i $value]
    }
    return $words
}

proc cluster::spawn {i} {
    variable s
    set within [expr {$s(namespaces) ? [list ip netns exec [space $i]] : {}}]
    # It ends with us, however we end.
    set s(chan,$i) [open "|[concat $within setpriv --pdeathsig KILL env [environment $i] [command $i] [list 2>>[log $i]]]" r]
    set s(pid,$i) [::pid $s(chan,$i)]
}

proc cluster::await_ready {i} {
    variable s
    # The ready line comes when clients are let in; end of file means that the node ended instead.
    if {[gets $s(chan,$i) line] < 0 || ![string match "meridiand ready*" $line]} {
        error "node $i did not start: [tail [log $i]]"
    }
}

proc cluster::start {args} {
    variable s
    if {$args eq ""} {
        set args $s(nodes)
    }
    foreach i $args {
        spawn $i
    }
    foreach i $args {
        await_ready $i
    }
}

proc cluster::tail {path {n 5}} {
    if {[catch {exec tail -n $n $path} text]} {
        return "(no log)"
    }
    return $text
}

proc cluster::alive {i} {
    variable s
    if {$s(pid,$i) == 0 || [catch {open /proc/$s(pid,$i)/stat} f]} {
        return 0
    }
    set stat [read $f]
    close $f
    return [expr {[lindex [string range $stat [string last ")" $stat]+2 end] 0] ne "Z"}]
}

proc cluster::signal {i name} {
    variable s
    exec kill -$name $s(pid,$i)
}

# Waits for the process to be gone and returns its exit code (128 + signal if it was killed).
proc cluster::reap {i} {
    variable s
    set code 0
    fconfigure $s(chan,$i) -blocking 1
    if {[catch {close $s(chan,$i)} message options]} {
        set why [dict get $options -errorcode]
        switch [lindex $why 0] {
            CHILDSTATUS { set code [lindex $why 2] }
            CHILDKILLED { set code 137 }
            default { set code 255 }
        }
    }
    set s(pid,$i) 0
    set s(chan,$i) ""
    return $code
}

proc cluster::kill {i} {
    signal $i KILL
    return [reap $i]
}

proc cluster::stop {i} {
    signal $i TERM
    return [reap $i]
}

proc cluster::destroy {args} {
    variable s
    array set o {-keep 0}
    array set o $args
    foreach i $s(nodes) {
        if {$s(pid,$i) != 0} {
            catch {signal $i CONT}
            kill $i
        }
    }
    if {[info exists s(bridge)]} {
        drop_namespaces
        unset s(bridge)
    }
    if {$s(dir) ne ""} {
        if {$o(-keep) || [info exists ::env(KEEP)]} {
            puts "kept: $s(dir)"
        } else {
            file delete -force $s(dir)
        }
    }
    set s(dir) ""
    set s(nodes) {}
}

# What sanitizers and assertions said in the nodes' logs: lines, empty if all is well.
proc cluster::complaints {} {
    variable s
    set lines {}
    foreach i $s(nodes) {
        if {![catch {exec grep -aE {(Address|Thread|Leak)Sanitizer: |runtime error: |check assertion } [log $i]} text]} {
            lappend lines "node $i: $text"
        }
    }
    return $lines
}

proc cluster::wait {what ms body} {
    set end [expr {[clock milliseconds] + $ms}]
    while {1} {
        if {[uplevel 1 $body]} {
            return
        }
        if {[clock milliseconds] > $end} {
            error "waited $ms ms for: $what"
        }
        after 20
    }
}

proc cluster::sql {i statement} {
    variable s
    set cmd [list env PGCONNECT_TIMEOUT=5 psql -XAtq -F \x1f -R \x1e -v ON_ERROR_STOP=1 -v VERBOSITY=verbose \
        "host=[host $i] port=$s(pg,$i) user=test dbname=meridian sslmode=disable" -c $statement]
    if {[catch {exec {*}$cmd 2>@1} out]} {
        regexp {(?:ERROR|FATAL):\s+([0-9A-Z]{5})} $out -> code
        return -code error -errorcode [list SQL [expr {[info exists code] ? $code : "08006"}]] $out
    }
    # No expr here: it would turn 1.50 into 1.5.
    return [lmap row [split $out \x1e] {split $row \x1f}]
}

proc cluster::leader {} {
    variable s
    foreach i $s(nodes) {
        if {[alive $i] && ![catch {sql $i "SHOW CLUSTER GROUP"} rows]} {
            array set g {role "" leader 0}
            foreach row $rows {
                set g([lindex $row 0]) [lindex $row 1]
            }
            if {$g(role) eq "leader"} {
                return $i
            }
        }
    }
    return 0
}

proc cluster::wait_leader {{ms 15000}} {
    set leader 0
    wait "a leader" $ms {expr {[set leader [cluster::leader]] != 0}}
    return $leader
}

# Until a write commits through some node that is alive; returns that node.
proc cluster::wait_writable {{ms 20000}} {
    variable s
    set ok 0
    wait "a committed write" $ms {
        foreach i $s(nodes) {
            if {[cluster::alive $i] && ![catch {cluster::sql $i "CREATE TABLE IF NOT EXISTS harness_probe (id INT PRIMARY KEY)"}]} {
                set ok $i
                break
            }
        }
        expr {$ok != 0}
    }
    return $ok
}
