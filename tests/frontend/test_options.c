#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tools/meridiand/listen.h"
#include "tools/meridiand/net_fault.h"
#include "tools/meridiand/options.h"
#include "tools/meridiand/units.h"

enum { ARGS_MAX = 32 };

/* Flags as one string, split at blanks. */
static enum options_result parse(struct options *o, const char *flags, struct err *err)
{
    static char text[512];
    char *argv[ARGS_MAX] = {text}, *save = NULL;
    int argc = 1;

    (void)snprintf(text, sizeof text, "%s", flags);
    for (char *word = strtok_r(text, " ", &save); word != NULL; word = strtok_r(NULL, " ", &save))
        argv[argc++] = word;
    options_init(o);
    return options_parse(o, argc, argv, err);
}

static void flags_all_kinds_are_taken(void **state)
{
    struct options o;
    struct err err;

    (void)state;
    assert_int_equal(parse(&o,
                           "--node 2 --data=/d --peer 1=h:1 --peer 3=[::1]:3 --lease 500ms "
                           "--cache 8MB --max-connections 7 --log-level warn --fault a=1",
                           &err),
                     OPTIONS_RUN);
    assert_int_equal(o.node, 2);
    assert_string_equal(o.data, "/d");
    assert_int_equal(o.n_peers, 2);
    assert_int_equal(o.peers[1].node, 3);
    assert_string_equal(o.peers[1].addr, "[::1]:3");
    assert_int_equal(o.lease_ns, 500000000);
    assert_int_equal(o.cache_bytes, 8 * 1024 * 1024);
    assert_int_equal(o.max_connections, 7);
    assert_int_equal(o.log_level, LOG_WARN);
    assert_string_equal(o.fault[0], "a=1");
    options_fini(&o);
}

static void flags_bad_are_named(void **state)
{
    static const char *const bad[][2] = {
        {"--nodes 1", "--nodes"},
        {"--node", "--node"},
        {"--node 0 --data d", "node"},
        {"--node 1x --data d", "1x"},
        {"--data d", "--node"},
        {"--node 1", "--data"},
        {"--node 1 --data d --peer 1", "NODE=HOST:PORT"},
        {"--node 1 --data d --peer 2=a:1 --peer 2=b:1", "twice"},
        {"--node 1 --data d --lease 2", "\"2\""},
        {"--node 1 --data d --lease 1us", "1us"},
        {"--node 1 --data d --cache much", "much"},
        {"--node 1 --data d --log-level loud", "loud"},
        {"--node 1 --data d more", "more"},
        {"--node 1 --data d --config /nonexistent/file", "/nonexistent/file"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct options o;
        struct err err;

        if (parse(&o, bad[i][0], &err) != OPTIONS_BAD)
            fail_msg("%s: taken", bad[i][0]);
        if (strstr(err.msg, bad[i][1]) == NULL)
            fail_msg("%s: %s", bad[i][0], err.msg);
        options_fini(&o);
    }
}

static enum options_result parse_file(struct options *o, const char *text, const char *flags,
                                      struct err *err)
{
    char path[] = "/tmp/mrd-options-XXXXXX", all[256];
    int fd = mkstemp(path);
    enum options_result r;

    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    (void)close(fd);
    (void)snprintf(all, sizeof all, "%s --config %s", flags, path);
    r = parse(o, all, err);
    (void)unlink(path);
    return r;
}

static void file_gives_values_and_flags_win(void **state)
{
    struct options o;
    struct err err;

    (void)state;
    assert_int_equal(parse_file(&o,
                                "[node]\nnode = 1\ndata = /from/file ; where\n# remark\n"
                                "peer = 2=h:2\npeer = 3=h:3\nno-sync = true\nlease = 3s\n",
                                "--lease 4s", &err),
                     OPTIONS_RUN);
    assert_string_equal(o.data, "/from/file");
    assert_int_equal(o.n_peers, 2);
    assert_true(o.no_sync);
    assert_int_equal(o.lease_ns, 4000000000);
    options_fini(&o);
}

static void file_errors_name_the_line(void **state)
{
    struct options o;
    struct err err;

    (void)state;
    assert_int_equal(parse_file(&o, "node = 1\nnodes = 2\n", "--data d", &err), OPTIONS_BAD);
    assert_non_null(strstr(err.msg, ":2: unknown name \"nodes\""));
    options_fini(&o);
    assert_int_equal(parse_file(&o, "node = x\n", "--data d", &err), OPTIONS_BAD);
    assert_non_null(strstr(err.msg, ":1: node must be"));
    options_fini(&o);
}

static void durations_and_sizes_are_exact(void **state)
{
    int64_t v = 0;

    (void)state;
    assert_int_equal(units_duration("200us", 0, &v, NULL), ST_OK);
    assert_int_equal(v, 200000);
    assert_int_equal(units_duration("5 min", 0, &v, NULL), ST_OK);
    assert_int_equal(v, 300000000000);
    assert_int_equal(units_duration("0", 0, &v, NULL), ST_OK);
    assert_int_equal(units_duration("30", 1000000, &v, NULL), ST_OK);
    assert_int_equal(v, 30000000);
    assert_int_equal(units_duration("-1s", 0, &v, NULL), ST_REJECT);
    assert_int_equal(units_duration("9999999999h", 0, &v, NULL), ST_REJECT);
    assert_int_equal(units_duration("", 1, &v, NULL), ST_REJECT);
    assert_int_equal(units_size("2GB", &v, NULL), ST_OK);
    assert_int_equal(v, 2LL * 1024 * 1024 * 1024);
    assert_int_equal(units_size("99999999999TB", &v, NULL), ST_REJECT);
}

static void listen_bad_addresses_are_refused(void **state)
{
    static const char *const bad[] = {"nowhere", ":1", "127.0.0.1:", "127.0.0.1:port",
                                      "127.0.0.1:70000"};
    char addr[96];
    int fd = -1, second = -1;

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(listen_tcp(bad[i], &fd, NULL), ST_REJECT);
    assert_int_equal(listen_tcp("127.0.0.1:0", &fd, NULL), ST_OK);
    listen_addr(fd, addr, sizeof addr);
    assert_int_equal(listen_tcp(addr, &second, NULL), ST_REJECT);
    (void)close(fd);
}

static void net_faults_are_parsed(void **state)
{
    char text[] = "2 cut\n\n0 drop=0.1 duplicate=0.25 reorder=1 delay=100ms\n3\n";
    struct net_fault_line lines[NET_FAULT_LINES];
    struct err err;
    size_t n = 0;

    (void)state;
    assert_int_equal(net_fault_parse(text, lines, &n, &err), ST_OK);
    assert_int_equal(n, 3);
    assert_int_equal(lines[0].peer, 2);
    assert_true(lines[0].fault.cut);
    assert_int_equal(lines[1].peer, 0);
    assert_true(!lines[1].fault.cut && lines[1].fault.drop == 0.1);
    assert_true(lines[1].fault.duplicate == 0.25 && lines[1].fault.reorder == 1);
    assert_int_equal(lines[1].fault.delay_ns, 100000000);
    assert_true(!lines[2].fault.cut && lines[2].fault.drop == 0);
}

static void net_faults_that_make_no_sense_are_refused(void **state)
{
    static const char *const bad[] = {
        "cut",          "x cut",        "-1 cut",         "2 cuts",
        "2 drop=1.1",   "2 drop=",      "2 drop=0.1x",    "2 drop=-0.1",
        "2 delay=fast", "2 delay=-1ms", "4294967296 cut", "2 drop=nan"};
    struct net_fault_line lines[NET_FAULT_LINES];
    char text[NET_FAULT_BYTES];
    struct err err;
    size_t n, len = 0;

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        (void)snprintf(text, sizeof text, "1 cut\n%s\n", bad[i]);
        assert_int_equal(net_fault_parse(text, lines, &n, &err), ST_REJECT);
        assert_non_null(strstr(err.msg, "line 2 "));
    }
    for (size_t i = 0; i <= NET_FAULT_LINES; i++)
        len += (size_t)snprintf(text + len, sizeof text - len, "1 cut\n");
    assert_int_equal(net_fault_parse(text, lines, &n, &err), ST_REJECT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(flags_all_kinds_are_taken),
        cmocka_unit_test(flags_bad_are_named),
        cmocka_unit_test(file_gives_values_and_flags_win),
        cmocka_unit_test(file_errors_name_the_line),
        cmocka_unit_test(durations_and_sizes_are_exact),
        cmocka_unit_test(listen_bad_addresses_are_refused),
        cmocka_unit_test(net_faults_are_parsed),
        cmocka_unit_test(net_faults_that_make_no_sense_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
