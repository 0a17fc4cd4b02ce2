#include "tests/unit/sql/soup.h"

#define PICK(r, list) (list)[rng_below((r), sizeof(list) / sizeof(list)[0])]

static void put(struct buf *out, const char *s)
{
    buf_put(out, s, strlen(s));
}

void soup_words(struct rng *r, int n, struct buf *out)
{
    static const char *const words[] = {
        "select",   "from",    "where",    "group by", "having",   "order by", "limit",
        "offset",   "union",   "all",      "except",   "with",     "as",       "insert",
        "into",     "values",  "update",   "set",      "delete",   "using",    "create",
        "table",    "index",   "drop",     "begin",    "commit",   "rollback", "explain",
        "prepare",  "execute", "show",     "case",     "when",     "then",     "else",
        "end",      "and",     "or",       "not",      "is",       "null",     "true",
        "in",       "like",    "escape",   "between",  "exists",   "any",      "cast",
        "extract",  "year",    "trim",     "both",     "position", "array",    "row",
        "join",     "left",    "natural",  "on",       "distinct", "from",     "t",
        "a",        "b",       "t.a",      "*",        "(",        ")",        "[",
        "]",        ",",       ";",        ".",        "::",       ":",        "=",
        "<>",       "<",       ">=",       "+",        "-",        "/",        "%",
        "^",        "||",      "!",        "~",        "1",        "2.5",      "1e3",
        ".5",       "'x'",     "''",       "E'\\n'",   "$1",       "$$q$$",    "\"q\"",
        "'open",    "\"open",  "/*",       "*/",       "--x\n",    "int",      "text",
        "numeric(", "varchar", "interval", "time",     "zone",     "at",       "over",
        "filter",   "within",  "default",  "primary",  "key",      "check",    "asc",
        "desc",     "nulls",   "first",    "last",     "for",      "share",    "returning",
        "conflict", "do",      "nothing",  "system",   "of",       "\xc3\xa4", "\xff",
        "\\",       "#",       "@",
    };

    for (int i = 0; i < n; i++) {
        put(out, PICK(r, words));
        if (rng_below(r, 8) != 0)
            put(out, " ");
    }
}

static void list(struct rng *r, int levels, int n, struct buf *out)
{
    for (int i = 0; i < n; i++) {
        put(out, i > 0 ? ", " : "");
        soup_expr(r, levels, out);
    }
}

static void leaf(struct rng *r, struct buf *out)
{
    static const char *const leaves[] = {
        "a",
        "t.a",
        "s.t.a",
        "\"Q x\"",
        "1",
        "-2",
        "2147483648",
        "1.50",
        "1.",
        "1e2",
        ".5e-3",
        "'it''s'",
        "''",
        "E'a\\\\b'",
        "NULL",
        "true",
        "false",
        "$1",
        "count(*)",
        "now()",
        "current_user",
        "x'",
        "int '5'",
        "numeric(3,1) '2.5'",
        "CURRENT_TIMESTAMP(3)",
        "\"select\"",
        "9223372036854775808",
        "-9223372036854775808",
        "- -5",
        "-1.",
        "\"char\" 'a'",
    };
    const char *s = PICK(r, leaves);

    put(out, strcmp(s, "x'") == 0 ? "'x'" : s);
}

/* Operands stand in parentheses where chains would not parse. */
static void operand(struct rng *r, int levels, struct buf *out)
{
    put(out, "(");
    soup_expr(r, levels, out);
    put(out, ")");
}

static void operation(struct rng *r, int levels, struct buf *out)
{
    static const char *const infix[] = {
        " + ",
        " - ",
        " * ",
        "/",
        " % ",
        " ^ ",
        " || ",
        " = ",
        " <> ",
        " < ",
        " >= ",
        " & ",
        " AND ",
        " OR ",
        " OPERATOR(pg_catalog.+) ",
        " IS DISTINCT FROM ",
        " LIKE ",
        " NOT LIKE ",
        " ILIKE ",
        " SIMILAR TO ",
        " ~* ",
        " != ",
        " IS NOT DISTINCT FROM ",
    };
    static const char *const prefix[] = {"NOT ", "- ", "+", "~ ", "@ "};
    static const char *const suffix[] = {
        " IS NULL",
        " IS NOT TRUE",
        " ISNULL",
        " NOTNULL",
        "::int",
        "::varchar(5)",
        "::double precision",
        "::timestamp with time zone",
        " COLLATE \"C\"",
        "::\"Odd Type\"",
        "::pg_catalog.int4",
        "::numeric(10,2)",
        "[1]",
        "[1:2]",
        "[:]",
        ".f",
        ".*",
        " AT TIME ZONE 'UTC'",
        "::int[]",
        "::char",
    };

    switch (rng_below(r, 3)) {
    case 0:
        operand(r, levels, out);
        put(out, PICK(r, infix));
        operand(r, levels, out);
        break;
    case 1:
        put(out, PICK(r, prefix));
        operand(r, levels, out);
        break;
    default:
        operand(r, levels, out);
        put(out, PICK(r, suffix));
        break;
    }
}

static void call(struct rng *r, int levels, struct buf *out)
{
    static const char *const heads[] = {
        "f(",       "s.f(",   "coalesce(",       "greatest(", "least(",
        "ROW(",     "ARRAY[", "count(DISTINCT ", "f(ALL ",    "substring(",
        "overlay(", "trim(",  "f(VARIADIC ",     "\"F\"(",    "nullif(1, ",
    };
    static const char *const tails[] = {
        "",
        "",
        "",
        " FILTER (WHERE a)",
        " OVER ()",
        " OVER w",
        " OVER (PARTITION BY a ORDER BY b DESC NULLS LAST)",
        " OVER (w ORDER BY b USING <)",
    };
    const char *head = PICK(r, heads);
    bool one = strcmp(head, "nullif(1, ") == 0 || strcmp(head, "f(VARIADIC ") == 0;
    bool plain = strcmp(head, "f(") == 0;

    put(out, head);
    list(r, levels, one ? 1 : 1 + (int)rng_below(r, 3), out);
    if (plain && rng_below(r, 3) == 0)
        put(out, " ORDER BY a DESC, b USING >");
    put(out, strcmp(head, "ARRAY[") == 0 ? "]" : ")");
    if (plain)
        put(out, PICK(r, tails));
}

static void special(struct rng *r, int levels, struct buf *out)
{
    static const struct {
        const char *before, *between, *after;
    } forms[] = {
        {"extract(year FROM ", NULL, ")"},
        {"position((", ") IN (", "))"},
        {"substring((", ") FROM (", "))"},
        {"trim(BOTH (", ") FROM (", "))"},
        {"overlay((", ") PLACING (", ") FROM 1 FOR 2)"},
        {"CAST(", NULL, " AS text)"},
        {"CASE WHEN ", " THEN ", " END"},
        {"CASE ", " WHEN 1 THEN 2 WHEN 3 THEN 4 ELSE ", " END"},
        {"(", ") BETWEEN SYMMETRIC 1 AND (", ")"},
        {"(", ") NOT BETWEEN 1 AND (", ")"},
        {"(", ") IN (1, ", ")"},
        {"(", ") NOT IN (", ")"},
        {"(", ") LIKE 'a' ESCAPE (", ")"},
        {"(", ") = ANY (", ")"},
        {"percentile(", ") WITHIN GROUP (ORDER BY ", " DESC)"},
        {"(", ", ", ", 1)"},
        {"((", ", ", "))"},
    };
    size_t i = rng_below(r, sizeof forms / sizeof forms[0]);

    put(out, forms[i].before);
    soup_expr(r, levels, out);
    if (forms[i].between != NULL) {
        put(out, forms[i].between);
        soup_expr(r, levels, out);
    }
    put(out, forms[i].after);
}

static void select_from(struct rng *r, int levels, struct buf *out);

static void subquery(struct rng *r, int levels, struct buf *out)
{
    static const char *const heads[] = {"(",         "EXISTS (",   "a IN (", "(a, b) NOT IN (",
                                        "a = ANY (", "a <> ALL (", "ARRAY("};

    put(out, PICK(r, heads));
    select_from(r, levels, out);
    put(out, ")");
}

void soup_expr(struct rng *r, int levels, struct buf *out)
{
    if (levels <= 0) {
        leaf(r, out);
        return;
    }
    switch (rng_below(r, 8)) {
    case 0:
        leaf(r, out);
        break;
    case 1:
    case 2:
    case 3:
        operation(r, levels - 1, out);
        break;
    case 4:
        call(r, levels - 1, out);
        break;
    case 5:
    case 6:
        special(r, levels - 1, out);
        break;
    default:
        subquery(r, levels - 2, out);
        break;
    }
}

static void select_from(struct rng *r, int levels, struct buf *out)
{
    static const char *const heads[] = {
        "SELECT ",
        "SELECT DISTINCT ",
        "SELECT DISTINCT ON (a) ",
        "WITH q(x) AS (SELECT 1), p AS MATERIALIZED (VALUES (1)) SELECT ",
        "SELECT *, ",
        "SELECT t.*, 1 AS \"Q\", "};
    static const char *const froms[] = {
        "",
        " FROM t",
        " FROM s.t AS x(a, b), ONLY u",
        " FROM t JOIN u ON a = b",
        " FROM (t LEFT JOIN u USING (a, b)) NATURAL JOIN v",
        " FROM (SELECT 1) AS q",
        " FROM (t CROSS JOIN u) AS j",
        " FROM generate_series(1, 2) WITH ORDINALITY AS g(a, b)",
        " FROM LATERAL (VALUES (1), (2)) v",
        " FROM t FULL JOIN u ON true AS OF SYSTEM TIME 'x'",
    };
    static const char *const tails[] = {
        "",
        "",
        " ORDER BY 1 DESC NULLS FIRST, a USING > NULLS LAST",
        " LIMIT 1 OFFSET 2",
        " LIMIT ALL",
        " ORDER BY a FETCH FIRST 3 ROWS WITH TIES",
        " FOR UPDATE OF t NOWAIT",
        " FOR KEY SHARE SKIP LOCKED",
        " OFFSET 1 FETCH NEXT ROW ONLY",
    };
    static const char *const sets[] = {" UNION ALL ", " UNION ", " INTERSECT ", " EXCEPT ALL "};

    put(out, PICK(r, heads));
    list(r, levels, 1 + (int)rng_below(r, 2), out);
    put(out, PICK(r, froms));
    if (rng_below(r, 2) == 0) {
        put(out, " WHERE ");
        soup_expr(r, levels, out);
    }
    if (rng_below(r, 4) == 0)
        put(out, " GROUP BY a, b HAVING count(*) > 1");
    if (rng_below(r, 6) == 0)
        put(out, " WINDOW w AS (PARTITION BY a), v AS (w ORDER BY b)");
    if (rng_below(r, 6) == 0) {
        put(out, PICK(r, sets));
        put(out, rng_below(r, 2) == 0 ? "SELECT 1" : "(VALUES (1) ORDER BY 1)");
    }
    put(out, PICK(r, tails));
}

void soup_stmt(struct rng *r, int levels, struct buf *out)
{
    static const char *const inserts[] = {
        "INSERT INTO t VALUES (1, DEFAULT), (", "INSERT INTO s.t AS x (a, b) VALUES (2, 3), (",
        "WITH q AS (DELETE FROM u RETURNING *) INSERT INTO t (a) VALUES (1, 2), ("};
    static const char *const conflicts[] = {
        "", " ON CONFLICT DO NOTHING", " ON CONFLICT (a, b) WHERE a > 1 DO UPDATE SET b = 1",
        " ON CONFLICT ON CONSTRAINT c DO UPDATE SET (a, b) = (SELECT 1, 2), d = DEFAULT WHERE true",
        " RETURNING *, a AS x"};

    switch (rng_below(r, 4)) {
    case 0:
        put(out, PICK(r, inserts));
        list(r, levels, 2, out);
        put(out, ")");
        put(out, PICK(r, conflicts));
        break;
    case 1:
        put(out, "UPDATE t AS x SET a = ");
        soup_expr(r, levels, out);
        put(out, ", (b, c) = (1, 2), (d, e) = (SELECT 1, 2) FROM u WHERE ");
        soup_expr(r, levels, out);
        break;
    case 2:
        put(out, "DELETE FROM t USING u, v AS w WHERE ");
        soup_expr(r, levels, out);
        put(out, " RETURNING a");
        break;
    default:
        select_from(r, levels, out);
        break;
    }
}
