// Starts Clerk's script, which renews the session token, and reloads a page that came with an expired one.
(() => {
  "use strict";
  const state = document.currentScript.dataset.clerkState;
  const mark = "clerksync.reloaded";
  // Where Clerk is not told of the visitor at all, a page must not reload for ever.
  const pause = 10_000;

  const reloadOnce = () => {
    const last = Number(sessionStorage.getItem(mark) || 0);
    if (Date.now() - last < pause) {
      return;
    }
    sessionStorage.setItem(mark, String(Date.now()));
    location.reload();
  };

  const start = async (clerk) => {
    await clerk.load();
    if (state === "expired" && clerk.session) {
      await clerk.session.getToken();
      reloadOnce();
    }
  };

  const wait = (tries) => {
    if (window.Clerk) {
      start(window.Clerk);
    } else if (tries > 0) {
      setTimeout(wait, 50, tries - 1);
    }
  };
  wait(200);
})();
