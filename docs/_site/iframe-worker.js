// Browsers refuse workers to pages from a disk. There the search runs in a hidden frame instead, which is given what
// it would find in a worker: `importScripts`, `postMessage` to the page, and "message" events from it.
if (location.protocol === "file:")
  window.Worker = class extends EventTarget {
    constructor(url) {
      super();
      const base = new URL(url, document.baseURI);
      const frame = document.createElement("iframe");
      frame.hidden = true;
      const opened = new Promise((resolve) => (frame.onload = resolve));
      document.body.append(frame);
      this.ready = opened.then(() => this.start(frame.contentWindow, base));
    }
    start(inside, base) {
      const load = (source) =>
        new Promise((resolve, reject) => {
          const script = inside.document.createElement("script");
          Object.assign(script, { src: new URL(source, base), onload: resolve, onerror: reject });
          inside.document.body.append(script);
        });
      inside.importScripts = async (...sources) => {
        for (const source of sources) await load(source);
      };
      inside.postMessage = (data) => this.dispatchEvent(new MessageEvent("message", { data }));
      return load(base).then(() => inside);
    }
    postMessage(data) {
      this.ready.then((inside) => inside.dispatchEvent(new MessageEvent("message", { data })));
    }
    terminate() {}
  };
