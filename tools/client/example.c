/* Moves money between two accounts; runs again by itself when another transaction was in the way. */
#include <meridian.h>
#include <stdio.h>

static enum mrd_status transfer(struct mrd_conn *c, void *arg)
{
    const struct mrd_value take[] = {mrd_int64(*(int64_t *)arg), mrd_text("alice")};
    const struct mrd_value give[] = {mrd_int64(*(int64_t *)arg), mrd_text("bob")};
    const char *sql_take = "UPDATE account SET balance = balance - $1 WHERE owner = $2";
    const char *sql_give = "UPDATE account SET balance = balance + $1 WHERE owner = $2";
    enum mrd_status st = mrd_run_values(c, sql_take, take, 2, NULL);

    return st == MRD_OK ? mrd_run_values(c, sql_give, give, 2, NULL) : st;
}

int main(int argc, char **argv)
{
    struct mrd_conn *c = NULL;
    struct mrd_rows *rows = NULL;
    struct mrd_error err = {0};
    int64_t amount = 30, commit_ns = 0;

    if (mrd_connect(argc > 1 ? argv[1] : NULL, &c, &err) != MRD_OK) {
        (void)fprintf(stderr, "%s\n", err.message);
        return 1;
    }
    if (mrd_run(c, "DROP TABLE IF EXISTS account", NULL) != MRD_OK ||
        mrd_run(c, "CREATE TABLE account (owner text PRIMARY KEY, balance bigint)", NULL) !=
            MRD_OK ||
        mrd_run(c, "INSERT INTO account VALUES ('alice', 100), ('bob', 0)", NULL) != MRD_OK ||
        mrd_transaction(c, NULL, transfer, &amount) != MRD_OK ||
        mrd_commit_timestamp(c, &commit_ns) != MRD_OK ||
        mrd_query(c, "SELECT owner, balance FROM account ORDER BY owner", &rows) != MRD_OK) {
        (void)fprintf(stderr, "%s: %s\n", mrd_error(c)->sqlstate, mrd_error(c)->message);
        mrd_close(c);
        return 1;
    }
    while (mrd_next(rows) == MRD_OK)
        (void)printf("%s has %lld\n", mrd_get_text(rows, 0), (long long)mrd_get_int64(rows, 1));
    mrd_rows_close(rows);
    (void)printf("committed at %lld\n", (long long)commit_ns);
    mrd_close(c);
    return 0;
}
