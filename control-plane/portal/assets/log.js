// What a log does beyond being read: it follows its end until somebody scrolls up, wraps, and finds. Without it the
// lines are there all the same, and the form searches all of them.
"use strict";

(() => {
  const box = document.getElementById("log");
  if (!box) return;
  const lines = document.getElementById("log-lines");
  const follow = document.getElementById("log-follow");
  const wrap = document.getElementById("log-wrap");
  const more = document.getElementById("log-new");
  const search = document.getElementById("log-search");
  const hits = document.getElementById("log-hits");
  const told = document.getElementById("log-told");
  // More of them make a browser slow; older ones have their address.
  const most = 5000;
  const isLive = document.querySelector("[hx-sse\\:connect]") !== null;
  let isFollowing = isLive && !location.hash;
  let unread = 0;
  let unsaid = 0;

  const isAtEnd = () => box.scrollHeight - box.scrollTop - box.clientHeight < 12;
  const toEnd = () => { box.scrollTop = box.scrollHeight; };

  const show = () => {
    follow.setAttribute("aria-pressed", String(isFollowing));
    more.hidden = isFollowing || unread === 0;
    more.textContent = unread === 1 ? "1 new line" : `${unread} new lines`;
  };

  const setFollowing = (is) => {
    isFollowing = is;
    if (is) {
      unread = 0;
      toEnd();
    }
    show();
  };

  const find = () => {
    const text = search.value.toLowerCase();
    let count = 0;
    for (const line of lines.children) {
      const is = text !== "" && line.lastElementChild.textContent.toLowerCase().includes(text);
      line.classList.toggle("hit", is);
      if (is) count += 1;
    }
    hits.textContent = text === "" ? "" : `${count} of the lines shown`;
  };

  const added = (count) => {
    unsaid += count;
    if (search.value) find();
    if (isFollowing) {
      while (lines.children.length > most) lines.firstElementChild.remove();
      toEnd();
    } else {
      unread += count;
    }
    told.textContent = `Lines ${lines.firstElementChild.id.slice(1)} to ${lines.lastElementChild.id.slice(1)}.`;
    show();
  };

  new MutationObserver((records) => {
    let count = 0;
    for (const record of records) {
      for (const node of record.addedNodes) if (node.nodeType === 1) count += 1;
    }
    if (count > 0) added(count);
  }).observe(lines, { childList: true });

  // Programs that print much would talk all the time.
  setInterval(() => {
    if (unsaid === 0) return;
    document.getElementById("announce").textContent = unsaid === 1 ? "1 new line in the log" : `${unsaid} new lines in the log`;
    unsaid = 0;
  }, 10000);

  box.addEventListener("scroll", () => {
    if (!isLive) return;
    const is = isAtEnd();
    if (is !== isFollowing) {
      isFollowing = is;
      if (is) unread = 0;
      show();
    }
  });
  follow.addEventListener("click", () => setFollowing(!isFollowing));
  more.addEventListener("click", () => setFollowing(true));
  wrap.addEventListener("click", () => {
    const is = box.classList.toggle("straight");
    wrap.setAttribute("aria-pressed", String(!is));
    if (isFollowing) toEnd();
  });
  search.addEventListener("input", find);

  follow.hidden = !isLive;
  wrap.hidden = false;
  find();
  if (isFollowing || (!location.hash && !new URLSearchParams(location.search).has("from"))) toEnd();
  show();
})();
