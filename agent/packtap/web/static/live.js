// The stream of server-sent events, and what to do when it breaks: say so, keep what was shown with
// its age, and try again until it is back.

const SILENT_MS = 8000; // the server sends something at least every 3 s
const AGAIN_MS = 2000;

/**
 * Follow a stream until `stop` is called.
 * @param {string} address of the stream.
 * @param {Object<string, function(object)>} handlers by name of the event.
 * @param {function(boolean)} connected told whether the stream lives.
 * @returns {function()} stop
 */
export function follow(address, handlers, connected) {
  let source = null;
  let heard = Date.now();
  let stopped = false;

  function open() {
    source?.close();
    heard = Date.now();
    source = new EventSource(address);
    for (const [name, handle] of Object.entries(handlers)) {
      source.addEventListener(name, (message) => {
        heard = Date.now();
        connected(true);
        handle(JSON.parse(message.data));
      });
    }
    source.onerror = () => connected(false);
  }

  // A browser gives up after some answers (a proxy's 502), and does not notice a dead connection.
  const watch = setInterval(() => {
    if (stopped || document.hidden) return;
    const silent = Date.now() - heard;
    if (silent > SILENT_MS || (source.readyState === EventSource.CLOSED && silent > AGAIN_MS)) {
      connected(false);
      open();
    }
  }, 1000);
  const seen = () => {
    if (!document.hidden && Date.now() - heard > AGAIN_MS) open();
  };
  document.addEventListener("visibilitychange", seen);
  window.addEventListener("online", open);
  open();
  return () => {
    stopped = true;
    clearInterval(watch);
    document.removeEventListener("visibilitychange", seen);
    window.removeEventListener("online", open);
    source.close();
  };
}

/** Ask for JSON. Throws an Error whose message is for people; its `status` is that of the answer. */
export async function ask(path, parameters = {}, options = {}) {
  const address = `${path}?${new URLSearchParams(parameters)}`;
  let answer;
  try {
    answer = await fetch(address, { cache: "no-store", ...options });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Error("The page's server does not answer.");
  }
  const body = await answer.json().catch((error) => {
    // Given up, or broken off, between head and body: half an answer is none.
    if (answer.ok) throw error.name === "AbortError" ? error : new Error("The answer broke off.");
    return {};
  });
  if (answer.ok) return body;
  const problem = new Error(body.error || `The server says ${answer.status}.`);
  problem.status = answer.status;
  throw problem;
}
