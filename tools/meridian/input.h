/*
 * input.h - where the shell's lines come from: a terminal with editing and history, or a stream.
 * Thread: the shell's.
 */
#ifndef MRD_TOOLS_MERIDIAN_INPUT_H
#define MRD_TOOLS_MERIDIAN_INPUT_H

#include <stdbool.h>
#include <stdio.h>

struct input;

struct input *input_terminal(void);     /* keeps its history in ~/.meridian_history */
struct input *input_stream(FILE *from); /* borrowed */
void input_close(struct input *in);     /* NULL is fine */

enum input_result { INPUT_LINE, INPUT_END, INPUT_INTERRUPTED };
/* *out without its line end, good until the next call. The prompt is shown on terminals only. */
enum input_result input_read(struct input *in, const char *prompt, const char **out);
/* A whole statement, for the history. */
void input_remember(struct input *in, const char *statement);

#endif
