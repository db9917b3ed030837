/* `weir upgrade`: ask the supervisor (`weir run`) to replace the programs that it runs (run_upgrade.h). */
#include "base_bytes.h"
#include "run_upgrade.h"
#include "weir.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static void usage(FILE *out)
{
	fputs("usage: weir upgrade [--binary-dir DIR] [--only control|dataplane] [-s SOCKET]\n\n"
	      "Replace the running weir-control and weir-dataplane by others, without a restart of the\n"
	      "hub: sockets and tunnels are handed over. Versions that do not fit are refused before\n"
	      "anything is touched. The way back is the same command with the directory of the old\n"
	      "programs. Of a hub under systemd's units: systemctl reload weir-control, then\n"
	      "systemctl restart weir-dataplane.\n\n"
	      "      --binary-dir DIR      where the new programs are; default: where `weir run` found\n"
	      "                            the ones it started\n"
	      "      --only WHICH          replace only control, or only the dataplane\n"
	      "  -s, --socket PATH         control socket of the hub (WEIR_SOCKET, else " WEIR_SOCKET_DEFAULT
	      ")\n"
	      "  -h, --help                this text\n\n"
	      "exit: 0 done, 1 refused or failed with a reason, 2 usage, 3 no supervisor reachable\n",
	      out);
}

/* The supervisor's socket lies beside the control socket. Returns a connection or -errno. */
static int dial(const char *control_socket)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	const char *end = strrchr(control_socket, '/');
	int dir_len = end ? (int)(end - control_socket) : 1;
	int fd;

	if (snprintf(address.sun_path, sizeof(address.sun_path), "%.*s/" RUN_UPGRADE_SOCKET,
	             dir_len, end ? control_socket : ".")
	    >= (int)sizeof(address.sun_path))
		return -ENAMETOOLONG;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0)
		return fd;
	int err = -errno;

	fprintf(stderr, "weir: %s: %s\n", address.sun_path, strerror(-err));
	close(fd);
	return err;
}

/* Print what comes. Returns WEIR_DONE or WEIR_REFUSED by the last line. */
static int follow(int fd)
{
	FILE *answer = fdopen(fd, "r");
	char line[2 * PATH_MAX + 300];
	int r = -1;

	if (!answer) {
		close(fd);
		return WEIR_REFUSED;
	}
	while (r < 0 && fgets(line, sizeof(line), answer)) {
		if (line[0] == '!')
			fprintf(stderr, "weir: %s", line + 2);
		else
			fputs(line + 2, stdout);
		fflush(stdout);
		if (line[0] != '+')
			r = line[0] == '=' ? WEIR_DONE : WEIR_REFUSED;
	}
	fclose(answer);
	if (r < 0)
		fputs("weir: the supervisor has gone\n", stderr);
	return r < 0 ? WEIR_REFUSED : r;
}

static bool takes_value(const char *option)
{
	static const char *const options[] = {"--binary-dir", "--only", "-s", "--socket"};

	for (size_t i = 0; i < BASE_ARRAY_LEN(options); i++)
		if (strcmp(option, options[i]) == 0)
			return true;
	return false;
}

int weir_upgrade(int argc, char **argv)
{
	const char *environment = getenv("WEIR_SOCKET");
	const char *socket_path = environment && *environment ? environment : WEIR_SOCKET_DEFAULT;
	const char *only = "both";
	char dir[PATH_MAX] = "";
	char line[PATH_MAX + 16];
	int fd;

	for (int i = 1; i < argc; i++) {
		bool has_value = i + 1 < argc;

		if (strcmp(argv[i], "-h") == 0 || strcmp(argv[i], "--help") == 0) {
			usage(stdout);
			return WEIR_DONE;
		}
		if (takes_value(argv[i]) && !has_value) {
			fprintf(stderr, "weir: %s needs a value\n", argv[i]);
			usage(stderr);
			return WEIR_USAGE;
		}
		if (strcmp(argv[i], "--only") == 0 && strcmp(argv[i + 1], "control") != 0
		    && strcmp(argv[i + 1], "dataplane") != 0) {
			fprintf(stderr, "weir: --only is \"%s\", must be control or dataplane\n",
			        argv[i + 1]);
			usage(stderr);
			return WEIR_USAGE;
		}
		if (strcmp(argv[i], "--binary-dir") == 0) {
			if (!realpath(argv[++i], dir)) {
				fprintf(stderr, "weir: %s: %s\n", argv[i], strerror(errno));
				return WEIR_REFUSED;
			}
		} else if (strcmp(argv[i], "--only") == 0) {
			only = argv[++i];
		} else if (takes_value(argv[i])) {
			socket_path = argv[++i];
		} else {
			fprintf(stderr, "weir: upgrade does not take \"%s\"\n", argv[i]);
			usage(stderr);
			return WEIR_USAGE;
		}
	}
	fd = dial(socket_path);
	if (fd < 0) {
		fputs("weir: no supervisor (`weir run`) answers\n", stderr);
		return WEIR_UNREACHABLE;
	}
	snprintf(line, sizeof(line), "%s %s\n", only, dir);
	if (send(fd, line, strlen(line), MSG_NOSIGNAL) != (ssize_t)strlen(line)) {
		perror("weir: upgrade");
		close(fd);
		return WEIR_REFUSED;
	}
	return follow(fd);
}
