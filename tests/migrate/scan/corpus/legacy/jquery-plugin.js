(function ($) {
  $.fn.chat = function (options) {
    var Ctor = window.WebSocket;
    var self = this;
    function open() {
      self.socket = new Ctor(options.url);
      self.socket.onclose = function () { window.setTimeout(open, 500); };
    }
    open();
  };
})(jQuery);
