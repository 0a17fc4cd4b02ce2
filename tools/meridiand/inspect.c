#include "tools/meridiand/inspect.h"

#include <stdio.h>
#include <sys/stat.h>

#include "storage/engine.h"
#include "tools/meridiand/group_info.h"

static void print_row(void *arg, const char *const *values, size_t n)
{
    for (size_t i = 0; i < n; i++)
        (void)fprintf(arg, "%s%s", i == 0 ? "" : "\t", values[i]);
    (void)fputc('\n', arg);
}

/* An engine would be made where there is none. */
static enum status check_directory(const char *dir, struct err *err)
{
    char path[4096];
    struct stat st;
    int n = snprintf(path, sizeof path, "%s/WiredTiger", dir);

    if (n < 0 || (size_t)n >= sizeof path || stat(path, &st) != 0)
        return err_set(err, ST_REJECT, SQLSTATE_INVALID_PARAMETER_VALUE,
                       "\"%s\" is not the directory of a node", dir);
    return ST_OK;
}

enum status inspect_directory(const char *dir, const char *topic, struct err *err)
{
    const char *const *columns = group_info_columns(topic);
    struct engine_options opts = {.dir = dir};
    struct engine *engine = NULL;
    size_t n = 0;
    enum status st;

    if (columns == NULL)
        return err_set(err, ST_REJECT, SQLSTATE_INVALID_PARAMETER_VALUE,
                       "there is nothing to inspect by the name \"%s\"", topic);
    TRY(check_directory(dir, err));
    TRY(engine_wt_open(&opts, &engine, err));
    while (columns[n] != NULL)
        n++;
    print_row(stdout, columns, n);
    TRY(group_info_offline(engine, topic, print_row, stdout, err));
out:
    if (engine != NULL)
        engine_close(engine);
    return st;
}
