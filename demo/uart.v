// An asynchronous serial port, 8 data bits, no parity, one stop bit: a transmitter and a receiver.
// `DIVISOR` is the number of clock cycles per bit, at least 4.

`timescale 1ns / 1ps

module uart_transmitter #(parameter DIVISOR = 8) (
    input  wire       clock,
    input  wire       reset,
    input  wire [7:0] data,
    input  wire       valid,   // `data` is to be sent; taken in a cycle in which `ready` is high too
    output wire       ready,
    output wire       line
);
    reg [9:0]  frame;          // stop bit, data, start bit; sent from the right
    reg [3:0]  bits_left;
    reg [15:0] cycle;

    assign ready = bits_left == 0;
    assign line = ready ? 1'b1 : frame[0];

    always @(posedge clock) begin
        if (reset) begin
            bits_left <= 0;
            cycle <= 0;
        end else if (ready) begin
            if (valid) begin
                frame <= {1'b1, data, 1'b0};
                bits_left <= 10;
                cycle <= 0;
            end
        end else if (cycle == DIVISOR - 1) begin
            frame <= {1'b1, frame[9:1]};
            bits_left <= bits_left - 1;
            cycle <= 0;
        end else begin
            cycle <= cycle + 1;
        end
    end
endmodule

module uart_receiver #(parameter DIVISOR = 8) (
    input  wire       clock,
    input  wire       reset,
    input  wire       line,
    output reg  [7:0] data,
    output reg        valid,          // for one cycle, when `data` holds a new byte
    output reg        framing_error   // for one cycle, when the stop bit was missing
);
    localparam IDLE = 0, START = 1, DATA = 2, STOP = 3;

    reg [1:0]  state;
    reg [1:0]  synchronised;   // the line is not in step with our clock
    reg [15:0] cycle;
    reg [2:0]  bit_number;

    wire sample = synchronised[1];

    always @(posedge clock) begin
        synchronised <= {synchronised[0], line};
        valid <= 0;
        framing_error <= 0;
        cycle <= cycle + 1;
        if (reset) begin
            state <= IDLE;
            synchronised <= 2'b11;
        end else case (state)
            IDLE:
                if (!sample) begin
                    state <= START;
                    cycle <= 0;
                end
            START:   // look again in the middle of the start bit: was it a glitch?
                if (cycle == DIVISOR / 2 - 1) begin
                    state <= sample ? IDLE : DATA;
                    cycle <= 0;
                    bit_number <= 0;
                end
            DATA:
                if (cycle == DIVISOR - 1) begin
                    data <= {sample, data[7:1]};
                    cycle <= 0;
                    bit_number <= bit_number + 1;
                    if (bit_number == 7) state <= STOP;
                end
            STOP:
                if (cycle == DIVISOR - 1) begin
                    valid <= sample;
                    framing_error <= !sample;
                    state <= IDLE;
                end
        endcase
    end
endmodule
