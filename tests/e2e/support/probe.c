/* probe: the network programs busybox lacks, for the test images. Static, no options.
 *
 *   probe udp-echo PORT            answers each datagram with "ADDRESS text"
 *   probe udp HOST PORT TEXT       sends a datagram up to 20 times and prints the first answer
 *   probe connect HOST PORT        prints "connected" or the name of the error
 *   probe unix PATH TEXT           sends TEXT over a stream socket and prints what comes until the end
 */
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static struct sockaddr_in address(const char *host, const char *port) {
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(atoi(port))};
    if (inet_pton(AF_INET, host, &a.sin_addr) != 1) {
        fprintf(stderr, "not an address: %s\n", host);
        exit(2);
    }
    return a;
}

static int udp_echo(const char *port) {
    struct sockaddr_in own = address("0.0.0.0", port), peer;
    int s = socket(AF_INET, SOCK_DGRAM, 0);
    if (bind(s, (void *)&own, sizeof own) < 0) return perror("bind"), 1;
    for (;;) {
        char text[65000], reply[65536];
        socklen_t size = sizeof peer;
        ssize_t n = recvfrom(s, text, sizeof text, 0, (void *)&peer, &size);
        if (n < 0) return perror("recvfrom"), 1;
        int head = sprintf(reply, "%s ", inet_ntoa(peer.sin_addr));
        memcpy(reply + head, text, n);
        sendto(s, reply, head + n, 0, (void *)&peer, size);
    }
}

static int udp(const char *host, const char *port, const char *text) {
    struct sockaddr_in to = address(host, port);
    int s = socket(AF_INET, SOCK_DGRAM, 0);
    if (connect(s, (void *)&to, sizeof to) < 0) return perror("connect"), 1;
    for (int i = 0; i < 20; i++) {
        char reply[65536];
        struct pollfd p = {.fd = s, .events = POLLIN};
        if (send(s, text, strlen(text), 0) < 0 && i == 19) return perror("send"), 1;
        if (poll(&p, 1, 200) == 1) {
            ssize_t n = recv(s, reply, sizeof reply, 0);
            if (n >= 0) return printf("%.*s\n", (int)n, reply), 0;
        }
    }
    return puts("no answer"), 1;
}

static int try_connect(const char *host, const char *port) {
    struct sockaddr_in to = address(host, port);
    int s = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(s, (void *)&to, sizeof to) == 0) return puts("connected"), 0;
    puts(errno == ECONNREFUSED ? "refused" : errno == ETIMEDOUT ? "timeout" : strerror(errno));
    return 1;
}

static int unix_talk(const char *path, const char *text) {
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    strncpy(to.sun_path, path, sizeof to.sun_path - 1);
    int s = socket(AF_UNIX, SOCK_STREAM, 0);
    if (connect(s, (void *)&to, sizeof to) < 0) return perror(path), 1;
    if (write(s, text, strlen(text)) < 0) return perror("write"), 1;
    char b[4096];
    for (ssize_t n; (n = read(s, b, sizeof b)) > 0;) fwrite(b, 1, n, stdout);
    return 0;
}

int main(int n, char **a) {
    if (n == 3 && !strcmp(a[1], "udp-echo")) return udp_echo(a[2]);
    if (n == 5 && !strcmp(a[1], "udp")) return udp(a[2], a[3], a[4]);
    if (n == 4 && !strcmp(a[1], "connect")) return try_connect(a[2], a[3]);
    if (n == 4 && !strcmp(a[1], "unix")) return unix_talk(a[2], a[3]);
    fprintf(stderr, "usage: probe udp-echo|udp|connect|unix …\n");
    return 2;
}
