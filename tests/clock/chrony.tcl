# chrony.tcl - real chronyd processes on loopback that touch no clock (-x): stratum-1 servers and their clients.
#
#   chrony::available                  whether the package is there
#   chrony::server NAME                a server that believes this machine's clock; returns {ADDRESS PORT}
#   chrony::client NAME SERVERS        a client that follows them; waits until it is synchronised
#   chrony::source NAME                what `--time` has to say to ask that client
#   chrony::signal NAME SIGNAL, chrony::kill NAME, chrony::start NAME (again, after a kill)
#   chrony::point NAME SERVER ?OPTION ...?   gives the client that server anew, as with {offset 0.2}
#   chrony::tracking NAME              a dict of what `chronyc tracking` says; `bound` in seconds is worked out
#   chrony::destroy                    ends all of them; cluster::destroy does it, too
#
# Every server has an address of its own (127.0.0.N): a client tells its sources apart by address.
# Needs harness/cluster.tcl. Directories live under the cluster's root.

namespace eval chrony {
    variable s
    array set s {names {} servers 0}
    variable fields {refid name stratum reftime correction last_offset rms_offset freq residual skew root_delay
        root_dispersion interval leap}
}

proc chrony::program {name} {
    foreach dir [concat [split $::env(PATH) :] /usr/sbin /usr/local/sbin] {
        if {[file executable $dir/$name]} {
            return $dir/$name
        }
    }
    return ""
}

proc chrony::available {} {
    return [expr {[program chronyd] ne "" && [program chronyc] ne ""}]
}

proc chrony::dir {name} {
    return [cluster::root]/chrony-$name
}

proc chrony::socket_path {name} {
    return [dir $name]/chronyd.sock
}

proc chrony::source {name} {
    return chrony:[socket_path $name]
}

# With a directory that others may enter, chronyd runs on without its command socket.
proc chrony::configure {name lines} {
    variable s
    file mkdir [dir $name]
    file attributes [dir $name] -permissions 0700
    set f [open [dir $name]/chrony.conf w]
    puts $f "cmdport 0\nbindcmdaddress [socket_path $name]\npidfile [dir $name]/chronyd.pid"
    foreach line $lines {
        puts $f $line
    }
    close $f
    lappend s(names) $name
    set s(chan,$name) ""
}

proc chrony::start {name} {
    variable s
    set user [exec id -un]
    # It ends with us, however we end.
    set s(chan,$name) [open "|[list setpriv --pdeathsig KILL [program chronyd] -x -d -U -u $user -f [dir $name]/chrony.conf >>[dir $name]/log 2>@1]" w]
    set s(pid,$name) [pid $s(chan,$name)]
    cluster::wait "chronyd $name to open its command socket" 10000 {
        if {![file exists /proc/$s(pid,$name)]} {
            error "chronyd $name ended: [cluster::tail [dir $name]/log]"
        }
        expr {![catch {chrony::ask $name tracking}]}
    }
}

proc chrony::server {name} {
    variable s
    set address 127.0.0.[expr {[incr s(servers)] + 10}]
    set port [cluster::free_ports 1]
    configure $name [list "local stratum 1" "allow 127.0.0.0/8" "bindaddress $address" "port $port"]
    start $name
    return [list $address $port]
}

proc chrony::options {server args} {
    lassign $server address port
    return [concat $address port $port minpoll -2 maxpoll -2 iburst {*}$args]
}

proc chrony::client {name servers} {
    set lines {"port 0" "maxclockerror 50"}
    foreach server $servers {
        lappend lines "server [options $server]"
    }
    configure $name $lines
    start $name
    wait_synchronised $name
}

proc chrony::wait_synchronised {name {ms 20000}} {
    cluster::wait "chronyd $name to follow its server" $ms {
        expr {![catch {chrony::tracking $name} d] && [dict get $d leap] eq "Normal" && [dict get $d stratum] == 2}
    }
}

proc chrony::ask {name args} {
    return [exec timeout 2 [program chronyc] -c -h [socket_path $name] {*}$args]
}

proc chrony::point {name server args} {
    ask $name delete [lindex $server 0]
    ask $name add server {*}[options $server {*}$args]
}

proc chrony::bound_of {d} {
    return [expr {abs([dict get $d correction]) + [dict get $d root_dispersion] + [dict get $d root_delay] / 2}]
}

proc chrony::parse {csv} {
    variable fields
    set d {}
    foreach field $fields value [split $csv ,] {
        dict set d $field $value
    }
    dict set d bound [bound_of $d]
    return $d
}

proc chrony::tracking {name} {
    return [parse [ask $name tracking]]
}

proc chrony::signal {name signal} {
    variable s
    exec kill -$signal $s(pid,$name)
}

proc chrony::kill {name {signal KILL}} {
    variable s
    if {$s(chan,$name) ne ""} {
        catch {signal $name CONT} ;# it may be stopped, or gone
        catch {signal $name $signal}
        catch {close $s(chan,$name)} ;# waits; says how it ended
        set s(chan,$name) ""
    }
}

proc chrony::destroy {} {
    variable s
    foreach name $s(names) {
        kill $name
    }
    set s(names) {}
    set s(servers) 0
}

trace add execution cluster::destroy enter {apply {args {chrony::destroy}}}
