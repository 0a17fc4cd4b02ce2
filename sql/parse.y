/*
 * parse.y - the grammar: PostgreSQL's dialect, one statement at a time. The parts follow in parse_expr.y,
 * parse_query.y, parse_define.y and parse_session.y, which the build appends in this order.
 *
 * One token of look-ahead, no conflicts; the lexer joins the few words that would need two. Words that the
 * grammar knows but PostgreSQL does not reserve fall back to identifiers. Actions only build nodes (see
 * parse_int.h); rules carry an explicit precedence mark wherever lemon's choice (the first token that has one)
 * is not the operator.
 */
%name sql_grammar
%token_prefix TK_
%token_type {struct token}
%extra_context {struct parser *p}
%default_type {int}
%stack_size 0
%include {
#include <string.h>

#include <stdlib.h>

#include "base/check.h"
#include "sql/parse_int.h"

#define YYNOERRORRECOVERY 1

static inline struct ident_list one_ident(struct parser *p, struct ident id)
{
    return ident_add(p, (struct ident_list){NULL, 0}, id);
}

static inline struct expr_list one_expr(struct parser *p, struct expr *e)
{
    return list_add(p, (struct expr_list){NULL, 0}, e);
}

static inline struct expr_list two_exprs(struct parser *p, struct expr *a, struct expr *b)
{
    return list_add(p, one_expr(p, a), b);
}
}
%syntax_error { parser_syntax_error(p, &TOKEN); }
%stack_overflow { parser_fail(p, SQLSTATE_STATEMENT_TOO_COMPLEX, 0, "statement is too complex"); }

%fallback ID
  ABORT ADD ALTER AT AUTHORIZATION BEGIN BY CASCADE CHAIN CHARACTERISTICS CHECKPOINT COMMIT COMMITTED
  CONCURRENTLY CONFLICT CONTINUE DEALLOCATE DELETE DISCARD DOUBLE DROP ESCAPE EXECUTE EXPLAIN FILTER FIRST
  FREEZE IDENTITY IF ILIKE INCLUDE INDEX INSERT ISOLATION KEY LAST LEFT LEVEL LOCAL LOCKED MATERIALIZED
  NAMES NEXT NO NOTHING NOWAIT NULLS OF OPERATOR ORDINALITY OVER OVERLAPS PARTITION PLANS PREPARE READ
  RECURSIVE RELEASE REPEATABLE RESET RESTART RESTRICT RIGHT ROLE ROLLBACK ROWS SAVEPOINT SCHEMA SEQUENCES
  SERIALIZABLE SESSION SET SHARE SHOW SKIP START SYSTEM TEMP TEMPORARY TIES TRANSACTION TRUNCATE
  UNCOMMITTED UNKNOWN UPDATE VACUUM VARYING VERBOSE VIEW WITHIN WITHOUT WORK WRITE ZONE.

%nonassoc SET.
%left UNION EXCEPT.
%left INTERSECT.
%left OR.
%left AND.
%right NOT.
%nonassoc IS ISNULL NOTNULL.
%nonassoc LT GT EQ LE GE NE.
%nonassoc BETWEEN IN LIKE ILIKE SIMILAR NOT_LA.
%nonassoc ESCAPE.
%nonassoc ID PARTITION.
%left OP OPERATOR.
%left PLUS MINUS.
%left STAR SLASH PERCENT.
%left CARET.
%left AT.
%left COLLATE.
%right UMINUS.
%left LB RB.
%left LP RP.
%left TYPECAST.
%left DOT.
%left JOIN CROSS LEFT FULL RIGHT INNER NATURAL.

/* Any word whatever, as a label after AS. */
%token_class anyword
  ID|ABORT|ADD|ALL|ALTER|ANALYZE|AND|ANY|ARRAY|AS|ASC|ASYMMETRIC|AT|AUTHORIZATION|BEGIN|BETWEEN|BOTH|BY
  |CASCADE|CASE|CAST|CHAIN|CHAR|CHARACTER|CHARACTERISTICS|CHECK|CHECKPOINT|COLLATE|COMMIT|COMMITTED
  |CONCURRENTLY|CONFLICT|CONSTRAINT|CONTINUE|CREATE|CROSS|CURRENT_CATALOG|CURRENT_DATE|CURRENT_ROLE
  |CURRENT_SCHEMA|CURRENT_TIME|CURRENT_TIMESTAMP|CURRENT_USER|DEALLOCATE|DEFAULT|DEFERRABLE|DELETE|DESC
  |DISCARD|DISTINCT|DO|DOUBLE|DROP|ELSE|END|ESCAPE|EXCEPT|EXECUTE|EXISTS|EXPLAIN|EXTRACT|FALSE|FETCH|FILTER
  |FIRST|FOR|FOREIGN|FREEZE|FROM|FULL|GROUP|HAVING|IDENTITY|IF|ILIKE|IN|INCLUDE|INDEX|INITIALLY|INNER|INSERT
  |INTERSECT|INTERVAL|INTO|IS|ISNULL|ISOLATION|JOIN|KEY|LAST|LATERAL|LEADING|LEFT|LEVEL|LIKE|LIMIT|LOCAL
  |LOCALTIME|LOCALTIMESTAMP|LOCKED|MATERIALIZED|NAMES|NATIONAL|NATURAL|NCHAR|NEXT|NO|NOT|NOTHING|NOTNULL
  |NOT_LA|NOWAIT|NULL|NULLS|OF|OFFSET|ON|ONLY|OPERATOR|OR|ORDER|ORDINALITY|OUTER|OVER|OVERLAPS|OVERLAY
  |PARTITION|PLACING|PLANS|POSITION|PRECISION|PREPARE|PRIMARY|READ|RECURSIVE|REFERENCES|RELEASE|REPEATABLE
  |RESERVED|RESET|RESTART|RESTRICT|RETURNING|RIGHT|ROLE|ROLLBACK|ROW|ROWS|SAVEPOINT|SCHEMA|SELECT|SEQUENCES
  |SERIALIZABLE|SESSION|SESSION_USER|SET|SETOF|SHARE|SHOW|SIMILAR|SKIP|SOME|START|SUBSTRING|SYMMETRIC|SYSTEM
  |TABLE|TEMP|TEMPORARY|THEN|TIES|TIME|TIMESTAMP|TO|TRAILING|TRANSACTION|TRIM|TRUE|TRUNCATE|UNCOMMITTED
  |UNION|UNIQUE|UNKNOWN|UPDATE|USER|USING|VACUUM|VALUES|VARIADIC|VARYING|VERBOSE|VIEW|WHEN|WHERE|WINDOW|WITH
  |WITHIN|WITHOUT|WORK|WRITE|ZONE.

%start_symbol cmd
cmd ::= stmt(S). { p->result = S; }
cmd ::= WANT_EXPR expr(E). { p->expr_result = E; }

%type stmt {struct stmt *}
stmt(A) ::= dml(A).
stmt(A) ::= create_table(A).
stmt(A) ::= create_index(A).
stmt(A) ::= drop(A).
stmt(A) ::= truncate(A).
stmt(A) ::= alter_table(A).
stmt(A) ::= transaction(A).
stmt(A) ::= set(A).
stmt(A) ::= show(A).
stmt(A) ::= prepare(A).
stmt(A) ::= execute(A).
stmt(A) ::= deallocate(A).
stmt(A) ::= explain(A).
stmt(A) ::= maintenance(A).

/* What PREPARE, EXPLAIN and WITH may hold. */
%type dml {struct stmt *}
dml(A) ::= select(S). { A = stmt_new(p, STMT_SELECT, S); }
dml(A) ::= insert(A).
dml(A) ::= update(A).
dml(A) ::= delete(A).

/* ---- names ---- */

%type colid {struct ident}
colid(A) ::= ID(T). { A = ident_of(T); }
colid(A) ::= colword(T). { A = ident_of(T); }
%type colword {struct token}
colword(A) ::= CHAR(A).
colword(A) ::= CHARACTER(A).
colword(A) ::= DOUBLE(A).
colword(A) ::= EXTRACT(A).
colword(A) ::= INTERVAL(A).
colword(A) ::= NATIONAL(A).
colword(A) ::= NCHAR(A).
colword(A) ::= OVERLAY(A).
colword(A) ::= POSITION(A).
colword(A) ::= PRECISION(A).
colword(A) ::= ROW(A).
colword(A) ::= SETOF(A).
colword(A) ::= SUBSTRING(A).
colword(A) ::= TIME(A).
colword(A) ::= TIMESTAMP(A).
colword(A) ::= TRIM(A).

%type label {struct ident}
label(A) ::= anyword(T). { A = ident_of(T); }

%type dotted {struct ident_list}
%type qdotted {struct ident_list}
dotted(A) ::= colid(N). { A = one_ident(p, N); }
dotted(A) ::= qdotted(A).
qdotted(A) ::= dotted(D) DOT ID(N). { A = ident_add(p, D, ident_of(N)); }

%type relation {struct qual_name}
relation(A) ::= dotted(D). { A = qual_of(p, D); }
%type relations {struct qual_name_list}
relations(A) ::= relation(R). { A = qual_add(p, (struct qual_name_list){NULL, 0}, R); }
relations(A) ::= relations(L) COMMA relation(R). { A = qual_add(p, L, R); }

%type names {struct ident_list}
names(A) ::= colid(N). { A = one_ident(p, N); }
names(A) ::= names(L) COMMA colid(N). { A = ident_add(p, L, N); }
%type opt_names {struct ident_list}
opt_names(A) ::= . { A = (struct ident_list){NULL, 0}; }
opt_names(A) ::= LP names(L) RP. { A = L; }
