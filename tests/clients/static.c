/*
 * A static program: a server and its child talk over lo0.
 */
#include <sys/socket.h>
#include <sys/wait.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <unistd.h>

int
main(void)
{
	struct sockaddr_in name = { .sin_family = AF_INET };
	socklen_t length = sizeof(name);
	char text[16];
	int listener, one, status;
	ssize_t count;

	name.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	listener = socket(AF_INET, SOCK_STREAM, 0);
	if (bind(listener, (struct sockaddr *)&name, length) != 0 ||
	    listen(listener, 5) != 0 ||
	    getsockname(listener, (struct sockaddr *)&name, &length) != 0)
		return 1;
	if (fork() == 0) {
		one = accept(listener, NULL, NULL);
		count = read(one, text, sizeof(text));
		return write(one, text, count) == count ? 0 : 1;
	}
	one = socket(AF_INET, SOCK_STREAM, 0);
	if (connect(one, (struct sockaddr *)&name, length) != 0 ||
	    write(one, "hello", 5) != 5)
		return 2;
	count = read(one, text, sizeof(text));
	printf("%.*s, ", (int)count, text);
	if (wait(&status) < 0 || status != 0 || read(one, text, 1) != 0)
		return 3;
	printf("and the end\n");
	return 0;
}
