// One script tag: <script src="https://chat.example.com/chat/widget.js"></script>, then <ws2sse-chat></ws2sse-chat>.
(() => {
  const here = document.currentScript?.src ?? document.querySelector('script[src$="/chat/widget.js"]').src
  import(new URL("assets/widget.js", here).href)
})()
