/* What weir-control tells systemd. Private to its main. */
#ifndef MAIN_NOTIFY_H
#define MAIN_NOTIFY_H

/* Tell the service manager (sd_notify(3)) that this process is up, and is the main one from now on: also when it
 * took over from another. Returns 0, also when nobody wants to know (NOTIFY_SOCKET is not set), or -errno. */
int main_notify_ready(void);

#endif
