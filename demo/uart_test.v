// Sends random bytes with random pauses through a transmitter and a receiver whose clocks differ by
// 2 %, as two real ports' clocks may, and compares what arrives. Prints PASS, or ends with status 1.
//
//   vvp uart_test.vvp +bytes=N +seed=N

`timescale 1ns / 1ps

module uart_test;
    localparam DIVISOR = 16;

    reg transmit_clock = 0, receive_clock = 0, reset = 1;
    always #50 transmit_clock = !transmit_clock;
    always #51 receive_clock = !receive_clock;

    reg  [7:0] sent;
    reg        send = 0;
    wire       ready, line, arrived, framing_error;
    wire [7:0] received;

    uart_transmitter #(DIVISOR) transmitter(transmit_clock, reset, sent, send, ready, line);
    uart_receiver #(DIVISOR) receiver(receive_clock, reset, line, received, arrived, framing_error);

    integer bytes, seed, number, pause;
    integer arrivals = 0;
    integer errors = 0;

    always @(posedge receive_clock) begin
        if (arrived) begin
            arrivals = arrivals + 1;
            if (received !== sent) begin
                errors = errors + 1;
                $display("byte %0d: sent %h, received %h", arrivals, sent, received);
            end
        end
        if (framing_error) begin
            errors = errors + 1;
            $display("byte %0d: framing error", arrivals + 1);
        end
    end

    initial begin
        if (!$value$plusargs("bytes=%d", bytes)) bytes = 100;
        if (!$value$plusargs("seed=%d", seed)) seed = 1;
        repeat (10) @(negedge transmit_clock);
        reset = 0;
        for (number = 0; number < bytes; number = number + 1) begin
            pause = $urandom(seed) % (3 * DIVISOR);
            repeat (pause) @(negedge transmit_clock);
            sent = $urandom(seed);
            send = 1;
            @(negedge transmit_clock);
            send = 0;
            wait (ready);
            // The last bit is on the line for its full time now; the receiver may be half a bit behind.
            repeat (DIVISOR) @(negedge transmit_clock);
        end
        if (errors == 0 && arrivals == bytes) begin
            $display("PASS: %0d bytes sent and received", bytes);
            $finish;
        end
        $display("FAIL: %0d bytes sent, %0d received, %0d errors", bytes, arrivals, errors);
        $finish_and_return(1);
    end
endmodule
