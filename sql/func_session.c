/* Functions of the session and of types. */
#include "sql/func_int.h"

static enum status put_name(const char *name, const char *fallback, struct datum *out)
{
    return func_put_text(bytes_str(name == NULL ? fallback : name), out);
}

static enum status current_user(FUNC_ARGS)
{
    FUNC_UNUSED;
    return put_name(env->user, "", out);
}

static enum status current_database(FUNC_ARGS)
{
    FUNC_UNUSED;
    return put_name(env->database, "", out);
}

static enum status current_schema(FUNC_ARGS)
{
    FUNC_UNUSED;
    return put_name(env->schema, "public", out);
}

static enum status version(FUNC_ARGS)
{
    FUNC_UNUSED;
    return put_name(env->version, "Meridian", out);
}

static enum status type_of(FUNC_ARGS)
{
    FUNC_UNUSED;
    return put_name(type_info(args[0].type)->name, "", out);
}

#define NAME(fname, fn)                                                                        \
    {                                                                                          \
        .name = fname, .n_args = 0, .result = TYPE_TEXT, .volatility = FUNC_STABLE, .call = fn \
    }

static const struct func table[] = {
    NAME("current_user", current_user),
    NAME("session_user", current_user),
    NAME("user", current_user),
    NAME("current_database", current_database),
    NAME("current_catalog", current_database),
    NAME("current_schema", current_schema),
    NAME("version", version),
    {.name = "pg_typeof",
     .n_args = 1,
     .args = {FUNC_ANY},
     .result = TYPE_TEXT,
     .lax = true,
     .call = type_of},
};

const struct func_table func_session_table = {table, sizeof table / sizeof table[0]};
