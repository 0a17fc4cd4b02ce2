/*
 * parse_expr.y - types, expressions, functions. Part of the grammar: see parse.y.
 */

/* ---- types ---- */

%type typename {struct type_name *}
typename(A) ::= simple_type(A).
typename(A) ::= SETOF simple_type(T). { T->setof = true; A = T; }
typename(A) ::= simple_type(T) array_bounds(N). { T->array_dims = N; A = T; }
typename(A) ::= simple_type(T) ARRAY. { T->array_dims = 1; A = T; }
typename(A) ::= simple_type(T) ARRAY LB ICONST RB. { T->array_dims = 1; A = T; }
array_bounds(A) ::= array_bound. { A = 1; }
array_bounds(A) ::= array_bounds(N) array_bound. { A = N < 1000 ? N + 1 : N; }
array_bound ::= LB RB.
array_bound ::= LB ICONST RB.

%type simple_type {struct type_name *}
simple_type(A) ::= generic_type(N). { A = type_generic(p, N, (struct expr_list){NULL, 0}); }
simple_type(A) ::= generic_type(N) LP exprs(M) RP. { A = type_generic(p, N, M); }
simple_type(A) ::= special_type(A).
%type generic_type {struct ident_list}
generic_type(A) ::= ID(N). { A = one_ident(p, ident_of(N)); }
generic_type(A) ::= generic_type(L) DOT ID(N). { A = ident_add(p, L, ident_of(N)); }

%type special_type {struct type_name *}
special_type(A) ::= DOUBLE(T) PRECISION. { A = type_new(p, "float8", T.pos); }
special_type(A) ::= character(T) opt_varying(V) type_length(M). { A = type_char(p, V != 0, M, T.pos); }
special_type(A) ::= TIMESTAMP(T) type_length(M) opt_zone(Z). {
    A = type_new(p, Z ? "timestamptz" : "timestamp", T.pos);
    A->mods = M;
}
special_type(A) ::= TIME(T) type_length(M) opt_zone(Z). {
    A = type_new(p, Z ? "timetz" : "time", T.pos);
    A->mods = M;
}
special_type(A) ::= INTERVAL(T) type_length(M). {
    A = type_new(p, "interval", T.pos);
    A->mods = M;
}
%type character {struct token}
character(A) ::= CHARACTER(A).
character(A) ::= CHAR(A).
character(A) ::= NCHAR(A).
character(A) ::= NATIONAL(T) CHARACTER. { A = T; }
character(A) ::= NATIONAL(T) CHAR. { A = T; }
opt_varying(A) ::= . { A = 0; }
opt_varying(A) ::= VARYING. { A = 1; }
%type type_length {struct expr_list}
type_length(A) ::= . { A = (struct expr_list){NULL, 0}; }
type_length(A) ::= LP ICONST(N) RP. { A = one_expr(p, expr_number(p, N)); }
opt_zone(A) ::= . { A = 0; }
opt_zone(A) ::= WITH_LA TIME ZONE. { A = 1; }
opt_zone(A) ::= WITHOUT TIME ZONE. { A = 0; }

/* ---- expressions ---- */

%type expr {struct expr *}
expr(A) ::= cexpr(A).
expr(A) ::= expr(X) TYPECAST(T) typename(N). { A = expr_cast(p, X, N, T.pos); }
expr(A) ::= expr(X) COLLATE(T) dotted(N). { A = expr_collate(p, X, qual_of(p, N), T.pos); }
expr(A) ::= expr(X) AT(T) TIME ZONE expr(Z). [AT] {
    A = expr_func_form(p, "timezone", FUNC_SQL, two_exprs(p, Z, X), T.pos);
}
expr(A) ::= PLUS(T) expr(X). [UMINUS] { A = expr_op(p, "+", NULL, X, T.pos); }
expr(A) ::= MINUS(T) expr(X). [UMINUS] { A = expr_negate(p, X, T.pos); }
expr(A) ::= expr(L) PLUS(T) expr(R). [PLUS] { A = expr_op(p, T.str, L, R, T.pos); }
expr(A) ::= expr(L) MINUS(T) expr(R). [PLUS] { A = expr_op(p, T.str, L, R, T.pos); }
expr(A) ::= expr(L) STAR(T) expr(R). [STAR] { A = expr_op(p, T.str, L, R, T.pos); }
expr(A) ::= expr(L) SLASH(T) expr(R). [STAR] { A = expr_op(p, T.str, L, R, T.pos); }
expr(A) ::= expr(L) PERCENT(T) expr(R). [STAR] { A = expr_op(p, T.str, L, R, T.pos); }
expr(A) ::= expr(L) CARET(T) expr(R). { A = expr_op(p, T.str, L, R, T.pos); }
expr(A) ::= expr(L) LT(T) expr(R). [EQ] { A = expr_compare(p, T, L, R); }
expr(A) ::= expr(L) GT(T) expr(R). [EQ] { A = expr_compare(p, T, L, R); }
expr(A) ::= expr(L) EQ(T) expr(R). [EQ] { A = expr_compare(p, T, L, R); }
expr(A) ::= expr(L) LE(T) expr(R). [EQ] { A = expr_compare(p, T, L, R); }
expr(A) ::= expr(L) GE(T) expr(R). [EQ] { A = expr_compare(p, T, L, R); }
expr(A) ::= expr(L) NE(T) expr(R). [EQ] { A = expr_compare(p, T, L, R); }
expr(A) ::= expr(L) qual_op(T) expr(R). [OP] {
    A = expr_op(p, T->name, L, R, T->pos);
    A->op.schema = T->schema;
}
expr(A) ::= qual_op(T) expr(X). [OP] {
    A = expr_op(p, T->name, NULL, X, T->pos);
    A->op.schema = T->schema;
}
expr(A) ::= expr(L) AND(T) expr(R). { A = expr_logic(p, EXPR_AND, L, R, T.pos); }
expr(A) ::= expr(L) OR(T) expr(R). { A = expr_logic(p, EXPR_OR, L, R, T.pos); }
expr(A) ::= NOT(T) expr(X). { A = expr_unary(p, EXPR_NOT, X, T.pos); }
expr(A) ::= NOT_LA(T) expr(X). [NOT] { A = expr_unary(p, EXPR_NOT, X, T.pos); }
expr(A) ::= expr(X) like_word(T) expr(P). [LIKE] {
    expr_single(p, X, NONASSOC_LIKE, &T);
    A = expr_like(p, (enum like_kind)T.kind, X, P, NULL, T.pos);
}
expr(A) ::= expr(X) like_word(T) expr(P) ESCAPE expr(E). [LIKE] {
    expr_single(p, X, NONASSOC_LIKE, &T);
    A = expr_like(p, (enum like_kind)T.kind, X, P, E, T.pos);
}
expr(A) ::= expr(X) NOT_LA(T) like_word(K) expr(P). [NOT_LA] {
    expr_single(p, X, NONASSOC_LIKE, &T);
    A = expr_negated(expr_like(p, (enum like_kind)K.kind, X, P, NULL, T.pos));
}
expr(A) ::= expr(X) NOT_LA(T) like_word(K) expr(P) ESCAPE expr(E). [NOT_LA] {
    expr_single(p, X, NONASSOC_LIKE, &T);
    A = expr_negated(expr_like(p, (enum like_kind)K.kind, X, P, E, T.pos));
}
expr(A) ::= expr(X) ISNULL(T). {
    expr_single(p, X, NONASSOC_IS, &T);
    A = expr_test(p, X, TEST_NULL, false, T.pos);
}
expr(A) ::= expr(X) NOTNULL(T). {
    expr_single(p, X, NONASSOC_IS, &T);
    A = expr_test(p, X, TEST_NULL, true, T.pos);
}
expr(A) ::= expr(X) IS(T) opt_not(N) test_word(W). [IS] {
    expr_single(p, X, NONASSOC_IS, &T);
    A = expr_test(p, X, (enum test_kind)W, N != 0, T.pos);
}
expr(A) ::= expr(L) IS(T) opt_not(N) DISTINCT FROM expr(R). [IS] {
    expr_single(p, L, NONASSOC_IS, &T);
    A = expr_distinct(p, L, R, N != 0, T.pos);
}
expr(A) ::= expr(X) BETWEEN(T) opt_symmetric(S) bexpr(L) AND expr(H). [BETWEEN] {
    expr_single(p, X, NONASSOC_LIKE, &T);
    A = expr_between(p, X, L, H, T.pos);
    A->between.symmetric = S != 0;
}
expr(A) ::= expr(X) NOT_LA(T) BETWEEN opt_symmetric(S) bexpr(L) AND expr(H). [NOT_LA] {
    expr_single(p, X, NONASSOC_LIKE, &T);
    A = expr_negated(expr_between(p, X, L, H, T.pos));
    A->between.symmetric = S != 0;
}
expr(A) ::= expr(X) IN(T) in_list(I). {
    expr_single(p, X, NONASSOC_LIKE, &T);
    A = expr_in(p, X, I, T.pos);
}
expr(A) ::= expr(X) NOT_LA(T) IN in_list(I). [NOT_LA] {
    expr_single(p, X, NONASSOC_LIKE, &T);
    A = expr_negated(expr_in(p, X, I, T.pos));
}
expr(A) ::= expr(X) any_op(T) any_all(Q) select_parens(S). [OP] {
    A = expr_quantified(p, X, T->name, Q != 0, S, T->pos);
}
expr(A) ::= expr(X) any_op(T) any_all(Q) LP expr(R) RP. [OP] {
    A = expr_any_array(p, X, T->name, Q != 0, R, T->pos);
}
expr(A) ::= DEFAULT(T). { A = expr_new(p, EXPR_DEFAULT, T.pos); }

%type like_word {struct token}
like_word(A) ::= LIKE(T). { A = T; A.kind = LIKE_LIKE; }
like_word(A) ::= ILIKE(T). { A = T; A.kind = LIKE_ILIKE; }
like_word(A) ::= SIMILAR(T) TO. { A = T; A.kind = LIKE_SIMILAR; }
opt_not(A) ::= . { A = 0; }
opt_not(A) ::= NOT. { A = 1; }
test_word(A) ::= NULL. { A = TEST_NULL; }
test_word(A) ::= TRUE. { A = TEST_TRUE; }
test_word(A) ::= FALSE. { A = TEST_FALSE; }
test_word(A) ::= UNKNOWN. { A = TEST_UNKNOWN; }
opt_symmetric(A) ::= . { A = 0; }
opt_symmetric(A) ::= ASYMMETRIC. { A = 0; }
opt_symmetric(A) ::= SYMMETRIC. { A = 1; }
%type in_list {struct expr *}
in_list(A) ::= select_parens(S). { A = expr_subquery(p, SUBQUERY_IN, S, S->pos); }
in_list(A) ::= LP(T) exprs(L) RP. { A = expr_in_list(p, L, T.pos); }
any_all(A) ::= ANY. { A = 0; }
any_all(A) ::= SOME. { A = 0; }
any_all(A) ::= ALL. { A = 1; }

/* Operators by name. */
%type qual_op {struct qual_name *}
qual_op(A) ::= OP(T). {
    A = arena_zalloc(p->mem, sizeof *A);
    A->name = T.str;
    A->pos = T.pos;
}
qual_op(A) ::= OPERATOR(T) LP any_operator(Q) RP. { A = Q; A->pos = T.pos; }
%type any_operator {struct qual_name *}
any_operator(A) ::= all_op(T). {
    A = arena_zalloc(p->mem, sizeof *A);
    A->name = T.str;
    A->pos = T.pos;
}
any_operator(A) ::= colid(S) DOT any_operator(Q). { A = Q; A->schema = S.name; }
%type all_op {struct token}
all_op(A) ::= OP(A).
all_op(A) ::= PLUS(A).
all_op(A) ::= MINUS(A).
all_op(A) ::= STAR(A).
all_op(A) ::= SLASH(A).
all_op(A) ::= PERCENT(A).
all_op(A) ::= CARET(A).
all_op(A) ::= LT(A).
all_op(A) ::= GT(A).
all_op(A) ::= EQ(A).
all_op(A) ::= LE(A).
all_op(A) ::= GE(A).
all_op(A) ::= NE(A).
%type any_op {struct qual_name *}
any_op(A) ::= all_op(T). {
    A = arena_zalloc(p->mem, sizeof *A);
    A->name = T.str;
    A->pos = T.pos;
}
any_op(A) ::= OPERATOR(T) LP any_operator(Q) RP. { A = Q; A->pos = T.pos; }

/* Expressions without AND, NOT, IN, LIKE ...: where such a word must end them. */
%type bexpr {struct expr *}
bexpr(A) ::= cexpr(A).
bexpr(A) ::= bexpr(X) TYPECAST(T) typename(N). { A = expr_cast(p, X, N, T.pos); }
bexpr(A) ::= PLUS(T) bexpr(X). [UMINUS] { A = expr_op(p, "+", NULL, X, T.pos); }
bexpr(A) ::= MINUS(T) bexpr(X). [UMINUS] { A = expr_negate(p, X, T.pos); }
bexpr(A) ::= bexpr(L) PLUS(T) bexpr(R). [PLUS] { A = expr_op(p, T.str, L, R, T.pos); }
bexpr(A) ::= bexpr(L) MINUS(T) bexpr(R). [PLUS] { A = expr_op(p, T.str, L, R, T.pos); }
bexpr(A) ::= bexpr(L) STAR(T) bexpr(R). [STAR] { A = expr_op(p, T.str, L, R, T.pos); }
bexpr(A) ::= bexpr(L) SLASH(T) bexpr(R). [STAR] { A = expr_op(p, T.str, L, R, T.pos); }
bexpr(A) ::= bexpr(L) PERCENT(T) bexpr(R). [STAR] { A = expr_op(p, T.str, L, R, T.pos); }
bexpr(A) ::= bexpr(L) CARET(T) bexpr(R). { A = expr_op(p, T.str, L, R, T.pos); }
bexpr(A) ::= bexpr(L) LT(T) bexpr(R). [EQ] { A = expr_compare(p, T, L, R); }
bexpr(A) ::= bexpr(L) GT(T) bexpr(R). [EQ] { A = expr_compare(p, T, L, R); }
bexpr(A) ::= bexpr(L) EQ(T) bexpr(R). [EQ] { A = expr_compare(p, T, L, R); }
bexpr(A) ::= bexpr(L) LE(T) bexpr(R). [EQ] { A = expr_compare(p, T, L, R); }
bexpr(A) ::= bexpr(L) GE(T) bexpr(R). [EQ] { A = expr_compare(p, T, L, R); }
bexpr(A) ::= bexpr(L) NE(T) bexpr(R). [EQ] { A = expr_compare(p, T, L, R); }
bexpr(A) ::= bexpr(L) qual_op(T) bexpr(R). [OP] {
    A = expr_op(p, T->name, L, R, T->pos);
    A->op.schema = T->schema;
}
bexpr(A) ::= qual_op(T) bexpr(X). [OP] {
    A = expr_op(p, T->name, NULL, X, T->pos);
    A->op.schema = T->schema;
}
bexpr(A) ::= bexpr(L) IS(T) opt_not(N) DISTINCT FROM bexpr(R). [IS] {
    expr_single(p, L, NONASSOC_IS, &T);
    A = expr_distinct(p, L, R, N != 0, T.pos);
}

%type cexpr {struct expr *}
cexpr(A) ::= column(A).
cexpr(A) ::= literal(A).
cexpr(A) ::= param(A).
cexpr(A) ::= parens(A).
cexpr(A) ::= subscripted(A).
cexpr(A) ::= case(A).
cexpr(A) ::= func(A).
cexpr(A) ::= select_parens(S). [UMINUS] { A = expr_subquery(p, SUBQUERY_SCALAR, S, S->pos); }
cexpr(A) ::= EXISTS(T) select_parens(S). { A = expr_subquery(p, SUBQUERY_EXISTS, S, T.pos); }
cexpr(A) ::= ARRAY(T) select_parens(S). { A = expr_subquery(p, SUBQUERY_ARRAY, S, T.pos); }
cexpr(A) ::= ARRAY(T) array_list(L). { A = expr_of_list(p, EXPR_ARRAY, L, T.pos); }
cexpr(A) ::= ROW(T) LP exprs(L) RP. { A = expr_of_list(p, EXPR_ROW, L, T.pos); }
cexpr(A) ::= ROW(T) LP RP. { A = expr_of_list(p, EXPR_ROW, (struct expr_list){NULL, 0}, T.pos); }
cexpr(A) ::= LP(T) exprs(L) COMMA expr(E) RP. {
    A = expr_of_list(p, EXPR_ROW, list_add(p, L, E), T.pos);
}

%type column {struct expr *}
column(A) ::= dotted(D). { A = expr_column(p, D); }
column(A) ::= dotted(D) DOT STAR. { A = expr_star(p, D, D.items[0].pos); }
%type param {struct expr *}
param(A) ::= PARAM(T). { A = expr_param(p, T); }
%type parens {struct expr *}
parens(A) ::= LP expr(E) RP. { E->in_parens = true; A = E; }

%type subscripted {struct expr *}
subscripted(A) ::= subscriptable(X) LB(T) expr(I) RB. { A = expr_subscript(p, X, I, NULL, T.pos); }
subscripted(A) ::= subscriptable(X) LB(T) slice_end(L) COLON slice_end(H) RB. {
    A = expr_subscript(p, X, L, H, T.pos);
    A->subscript.slice = true;
}
subscripted(A) ::= subscripted_field(X) DOT ID(N). { A = expr_field(p, X, N.str, N.pos); }
subscripted(A) ::= subscripted_field(X) DOT STAR(T). { A = expr_field(p, X, NULL, T.pos); }
%type subscriptable {struct expr *}
subscriptable(A) ::= column(A).
subscriptable(A) ::= param(A).
subscriptable(A) ::= parens(A).
subscriptable(A) ::= subscripted(A).
subscriptable(A) ::= select_parens(S). [UMINUS] { A = expr_subquery(p, SUBQUERY_SCALAR, S, S->pos); }
%type subscripted_field {struct expr *}
subscripted_field(A) ::= param(A).
subscripted_field(A) ::= parens(A).
subscripted_field(A) ::= subscripted(A).
subscripted_field(A) ::= select_parens(S). [UMINUS] {
    A = expr_subquery(p, SUBQUERY_SCALAR, S, S->pos);
}
%type slice_end {struct expr *}
slice_end(A) ::= . { A = NULL; }
slice_end(A) ::= expr(A).
%type array_list {struct expr_list}
array_list(A) ::= LB exprs(L) RB. { A = L; }
array_list(A) ::= LB array_lists(L) RB. { A = L; }
array_list(A) ::= LB RB. { A = (struct expr_list){NULL, 0}; }
%type array_lists {struct expr_list}
array_lists(A) ::= array_list(L). { A = one_expr(p, expr_of_list(p, EXPR_ARRAY, L, 0)); }
array_lists(A) ::= array_lists(M) COMMA array_list(L). {
    A = list_add(p, M, expr_of_list(p, EXPR_ARRAY, L, 0));
}

%type literal {struct expr *}
literal(A) ::= ICONST(T). { A = expr_number(p, T); }
literal(A) ::= FCONST(T). { A = expr_number(p, T); }
literal(A) ::= SCONST(T). { A = expr_string(p, T.str, T.pos); }
literal(A) ::= TRUE(T). { A = expr_bool(p, true, T.pos); }
literal(A) ::= FALSE(T). { A = expr_bool(p, false, T.pos); }
literal(A) ::= NULL(T). { A = expr_null(p, T.pos); }
literal(A) ::= func_name(N) SCONST(T). {
    A = expr_cast(p, expr_string(p, T.str, T.pos),
                  type_generic(p, N, (struct expr_list){NULL, 0}), N.items[0].pos);
}
literal(A) ::= func_name(N) LP exprs(M) opt_order_by(O) RP SCONST(T). {
    if (O.n > 0) /* there only to read as a call does up to here */
        parser_fail(p, SQLSTATE_SYNTAX_ERROR, N.items[0].pos, "type modifier cannot have ORDER BY");
    A = expr_cast(p, expr_string(p, T.str, T.pos), type_generic(p, N, M), N.items[0].pos);
}
literal(A) ::= special_type(N) SCONST(T). { A = expr_cast(p, expr_string(p, T.str, T.pos), N, N->pos); }

%type exprs {struct expr_list}
exprs(A) ::= expr(E). { A = one_expr(p, E); }
exprs(A) ::= exprs(L) COMMA expr(E). { A = list_add(p, L, E); }

%type case {struct expr *}
case(A) ::= CASE(T) opt_case_arg(X) whens(W) opt_else(E) END. {
    A = W;
    A->pos = T.pos;
    A->kase.arg = X;
    A->kase.otherwise = E;
    expr_grow(p, A, X);
    expr_grow(p, A, E);
}
%type opt_case_arg {struct expr *}
opt_case_arg(A) ::= . { A = NULL; }
opt_case_arg(A) ::= expr(A).
%type whens {struct expr *}
whens(A) ::= WHEN expr(W) THEN expr(T). { A = expr_case_when(p, expr_new(p, EXPR_CASE, 0), W, T); }
whens(A) ::= whens(L) WHEN expr(W) THEN expr(T). { A = expr_case_when(p, L, W, T); }
%type opt_else {struct expr *}
opt_else(A) ::= . { A = NULL; }
opt_else(A) ::= ELSE expr(X). { A = X; }

/* ---- functions ---- */

%type func_name {struct ident_list}
func_name(A) ::= ID(T). { A = one_ident(p, ident_of(T)); }
func_name(A) ::= DOUBLE(T). { A = one_ident(p, ident_of(T)); }
func_name(A) ::= qdotted(A).

%type func {struct expr *}
func(A) ::= call(F) opt_within(W) opt_filter(C) opt_over(O). {
    if (W.n > 0)
        func_within(p, F);
    A = func_modify(p, F, W, C, O);
}
func(A) ::= func_word(A).

%type call {struct expr *}
call(A) ::= func_name(N) LP RP(Z). { A = expr_func(p, N, (struct expr_list){NULL, 0}, Z); }
call(A) ::= func_name(N) LP exprs(L) opt_order_by(O) RP(Z). {
    A = expr_func(p, N, L, Z);
    if (O.n > 0)
        A = func_modify(p, A, O, NULL, NULL);
}
call(A) ::= func_name(N) LP ALL exprs(L) opt_order_by(O) RP(Z). {
    A = expr_func(p, N, L, Z);
    if (O.n > 0)
        A = func_modify(p, A, O, NULL, NULL);
}
call(A) ::= func_name(N) LP DISTINCT(T) exprs(L) opt_order_by(O) RP(Z). {
    A = expr_func(p, N, L, Z);
    if (A->kind == EXPR_FUNC)
        A->func.distinct = true;
    else
        parser_syntax_error(p, &T);
    if (O.n > 0)
        A = func_modify(p, A, O, NULL, NULL);
}
call(A) ::= func_name(N) LP VARIADIC expr(E) RP(Z). {
    A = expr_func(p, N, one_expr(p, E), Z);
    if (A->kind == EXPR_FUNC)
        A->func.variadic = true;
}
call(A) ::= func_name(N) LP exprs(L) COMMA VARIADIC expr(E) RP(Z). {
    A = expr_func(p, N, list_add(p, L, E), Z);
    if (A->kind == EXPR_FUNC)
        A->func.variadic = true;
}
call(A) ::= func_name(N) LP STAR(T) RP(Z). {
    A = expr_func(p, N, (struct expr_list){NULL, 0}, Z);
    if (A->kind == EXPR_FUNC)
        A->func.star = true;
    else
        parser_syntax_error(p, &T);
}
%type opt_within {struct sort_list}
opt_within(A) ::= . { A = (struct sort_list){NULL, 0}; }
opt_within(A) ::= WITHIN GROUP LP order_by(O) RP. { A = O; }
%type opt_filter {struct expr *}
opt_filter(A) ::= . { A = NULL; }
opt_filter(A) ::= FILTER LP WHERE expr(E) RP. { A = E; }
%type opt_over {struct window_def *}
opt_over(A) ::= . { A = NULL; }
opt_over(A) ::= OVER window_spec(X). { A = X; }
opt_over(A) ::= OVER colid(N). {
    A = arena_zalloc(p->mem, sizeof *A);
    A->name = N.name;
    A->pos = N.pos;
}
%type window_spec {struct window_def *}
window_spec(A) ::= LP(T) opt_window_name(N) opt_partition(L) opt_order_by(O) RP. {
    A = arena_zalloc(p->mem, sizeof *A);
    *A = (struct window_def){N, L, O, T.pos};
}
%type opt_window_name {const char *}
opt_window_name(A) ::= . [OP] { A = NULL; }
opt_window_name(A) ::= colid(N). { A = N.name; }
%type opt_partition {struct expr_list}
opt_partition(A) ::= . { A = (struct expr_list){NULL, 0}; }
opt_partition(A) ::= PARTITION BY exprs(L). { A = L; }

/* Functions with a syntax of their own. */
%type func_word {struct expr *}
func_word(A) ::= name_word(T). {
    A = expr_func_form(p, T.str, FUNC_WORD, (struct expr_list){NULL, 0}, T.pos);
}
func_word(A) ::= time_word(T). {
    A = expr_func_form(p, T.str, FUNC_WORD, (struct expr_list){NULL, 0}, T.pos);
}
func_word(A) ::= time_word(T) LP ICONST(N) RP. {
    A = expr_func_form(p, T.str, FUNC_WORD, one_expr(p, expr_number(p, N)), T.pos);
}
%type name_word {struct token}
name_word(A) ::= CURRENT_CATALOG(A).
name_word(A) ::= CURRENT_DATE(A).
name_word(A) ::= CURRENT_ROLE(A).
name_word(A) ::= CURRENT_USER(A).
name_word(A) ::= SESSION_USER(A).
name_word(A) ::= USER(A).
name_word(A) ::= CURRENT_SCHEMA(A).
%type time_word {struct token}
time_word(A) ::= CURRENT_TIME(A).
time_word(A) ::= CURRENT_TIMESTAMP(A).
time_word(A) ::= LOCALTIME(A).
time_word(A) ::= LOCALTIMESTAMP(A).
func_word(A) ::= CURRENT_SCHEMA(T) LP RP. {
    A = expr_func_form(p, T.str, FUNC_PLAIN, (struct expr_list){NULL, 0}, T.pos);
}
func_word(A) ::= CAST(T) LP expr(X) AS typename(N) RP. { A = expr_cast(p, X, N, T.pos); }
func_word(A) ::= EXTRACT(T) LP extract_field(F) FROM expr(X) RP. {
    A = expr_func_form(p, "extract", FUNC_SQL,
                       two_exprs(p, expr_string(p, F.str, F.pos), X), T.pos);
}
func_word(A) ::= OVERLAY(T) LP expr(X) PLACING expr(Y) FROM expr(F) RP. {
    A = expr_func_form(p, "overlay", FUNC_SQL, list_add(p, two_exprs(p, X, Y), F), T.pos);
}
func_word(A) ::= OVERLAY(T) LP expr(X) PLACING expr(Y) FROM expr(F) FOR expr(N) RP. {
    A = expr_func_form(p, "overlay", FUNC_SQL,
                       list_add(p, list_add(p, two_exprs(p, X, Y), F), N), T.pos);
}
func_word(A) ::= OVERLAY(T) LP exprs(L) RP. { A = expr_func_form(p, "overlay", FUNC_PLAIN, L, T.pos); }
func_word(A) ::= POSITION(T) LP bexpr(X) IN bexpr(Y) RP. {
    A = expr_func_form(p, "position", FUNC_SQL, two_exprs(p, Y, X), T.pos);
}
func_word(A) ::= SUBSTRING(T) LP expr(X) FROM expr(F) RP. {
    A = expr_func_form(p, "substring", FUNC_SQL, two_exprs(p, X, F), T.pos);
}
func_word(A) ::= SUBSTRING(T) LP expr(X) FROM expr(F) FOR expr(N) RP. {
    A = expr_func_form(p, "substring", FUNC_SQL, list_add(p, two_exprs(p, X, F), N), T.pos);
}
func_word(A) ::= SUBSTRING(T) LP expr(X) FOR expr(N) FROM expr(F) RP. {
    A = expr_func_form(p, "substring", FUNC_SQL, list_add(p, two_exprs(p, X, F), N), T.pos);
}
func_word(A) ::= SUBSTRING(T) LP expr(X) FOR expr(N) RP. {
    A = expr_func_form(p, "substring", FUNC_SQL,
                       list_add(p, two_exprs(p, X, expr_int(p, 1, T.pos)), N), T.pos);
}
func_word(A) ::= SUBSTRING(T) LP exprs(L) RP. {
    A = expr_func_form(p, "substring", FUNC_PLAIN, L, T.pos);
}
func_word(A) ::= TRIM(T) LP trim_side(S) trim_list(L) RP. {
    A = expr_func_form(p, S == 1 ? "ltrim" : S == 2 ? "rtrim" : "btrim", FUNC_SQL, L, T.pos);
}
%type extract_field {struct token}
extract_field(A) ::= ID(A).
extract_field(A) ::= SCONST(A).
trim_side(A) ::= . { A = 0; }
trim_side(A) ::= BOTH. { A = 0; }
trim_side(A) ::= LEADING. { A = 1; }
trim_side(A) ::= TRAILING. { A = 2; }
%type trim_list {struct expr_list}
trim_list(A) ::= expr(C) FROM exprs(L). { A = list_add(p, L, C); }
trim_list(A) ::= FROM exprs(L). { A = L; }
trim_list(A) ::= exprs(A).
