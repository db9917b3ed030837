/* Help, from the grammar. */
#include "weir.h"

#include <stdio.h>
#include <string.h>

#define COLUMN 26
#define WIDTH  80

/* Print words of text, broken at WIDTH and indented. */
static void print_wrapped(const char *text, int indent)
{
	int column = indent;

	while (*text != '\0') {
		int len = (int)strcspn(text, " ");

		if (column > indent && column + 1 + len > WIDTH) {
			printf("\n%*s", indent, "");
			column = indent;
		}
		column += printf("%s%.*s", column > indent ? " " : "", len, text);
		text += len;
		text += *text == ' ';
	}
	putchar('\n');
}

static void print_pair(const char *left, const char *right)
{
	int len = printf("  %s", left);

	if (len >= COLUMN) {
		putchar('\n');
		len = 0;
	}
	printf("%*s", COLUMN - len, "");
	print_wrapped(right, COLUMN);
}

static void print_command(const struct weir_command *command)
{
	char words[64];

	snprintf(words, sizeof(words), "%s%s%s", command->words[0], command->words[1] ? " " : "",
	         command->words[1] ? command->words[1] : "");
	print_pair(words, command->summary);
}

static void print_common(void)
{
	printf("\noptions anywhere:\n");
	print_pair("-s, --socket PATH",
	           "control socket of the hub (WEIR_SOCKET, else " WEIR_SOCKET_DEFAULT ")");
	print_pair("-o, --output text|json", "tables for people, or the hub's reply");
	print_pair("-h, --help", "help on the command");
	print_pair("-V, --version", "version");
	printf("\nexit: 0 done, 1 refused with a reason, 2 usage, 3 hub not reachable\n");
}

void weir_help(void)
{
	printf("usage: weir [-s SOCKET] [-o text|json] COMMAND ...\n"
	       "       weir run -c FILE [--check]\n"
	       "       weir upgrade [--binary-dir DIR] [--only control|dataplane]\n\ncommands:\n");
	print_pair("run", "Run the hub that a configuration file describes");
	print_pair("upgrade", "Replace the programs of a running hub, without a restart");
	for (size_t i = 0; i < weir_n_commands; i++)
		print_command(&weir_commands[i]);
	print_pair("help COMMAND", "Explain a command");
	print_common();
}

void weir_help_group(const char *word)
{
	printf("usage: weir %s COMMAND ...\n\ncommands:\n", word);
	for (size_t i = 0; i < weir_n_commands; i++)
		if (strcmp(weir_commands[i].words[0], word) == 0)
			print_command(&weir_commands[i]);
	print_common();
}

void weir_help_command(const struct weir_command *command)
{
	char left[80];
	char right[512];

	printf("usage: weir %s\n\n", command->usage);
	printf("%s.\n", command->summary);
	if (command->description) {
		putchar('\n');
		print_wrapped(command->description, 0);
	}
	if (command->n_arguments > 0)
		printf("\narguments:\n");
	for (size_t i = 0; i < command->n_arguments; i++) {
		const struct weir_argument *argument = &command->arguments[i];
		bool value = argument->option && argument->kind != WEIR_FLAG;

		snprintf(left, sizeof(left), "%s%s%s", argument->option ? argument->option : "",
		         value ? " " : "", value || !argument->option ? argument->value : "");
		snprintf(right, sizeof(right), "%s%s%s", argument->help,
		         argument->kind == WEIR_FLAG ? "" : "; ",
		         argument->kind == WEIR_FLAG ? "" : argument->allowed);
		print_pair(left, right);
	}
	print_common();
}
